// A scan goes over tiles of neurons that stay in the first cache while all T steps pass over them.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "kernels.hpp"

namespace {

// The membranes of a tile take an eighth of the first cache; the size does not depend on the threads, so that sums over
// tiles do not either.
constexpr int64_t tile_size = 1024;

// Work for one more thread: below this many elements a thread costs more than it gains.
constexpr int64_t grain = 65536;

// Calls `work(tile, first, count)` for each tile of `size` neurons, over at most `threads` threads.
template <class Work>
void for_tiles(int64_t steps, int64_t size, int threads, int64_t tile, const Work& work) {
  const int64_t tiles = (size + tile - 1) / tile;
  const int64_t worth = steps * size / grain;
  int64_t used = threads < worth ? threads : worth;
  used = used < tiles ? used : tiles;
  const auto one = [&](int64_t k) {
    const int64_t first = k * tile;
    work(k, first, size - first < tile ? size - first : tile);
  };
  if (used <= 1) {
    for (int64_t k = 0; k < tiles; ++k) one(k);
    return;
  }
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(used))
  for (int64_t k = 0; k < tiles; ++k) one(k);
}

// One store. A plain store reads its line before it writes it: the line is asked for, to be written, while those before
// it are worked on. Storing past the caches reads nothing, yet is slower, and what comes next finds the caches empty.
template <class V, class In>
inline __attribute__((always_inline)) void put(In* p, typename V::Float x) {
  constexpr int64_t ahead = 512 / sizeof(In);
  if constexpr (V::width > 1) __builtin_prefetch(p + ahead, 1);
  V::store(p, x);
}

// Asks for what will be read one row later: each row is too short for the processor to notice that it is one.
template <class V, class In>
inline __attribute__((always_inline)) void fetch(const In* p) {
  if constexpr (V::width > 1) __builtin_prefetch(p);
}

// Calls `row(lanes, from, to)` for the whole vectors of a row of `count`, then for what is left, one at a time.
template <class V, class Row>
inline __attribute__((always_inline)) void in_lanes(int64_t count, const Row& row) {
  const int64_t whole = count - count % V::width;
  row(V{}, 0, whole);
  if (whole < count) row(ScalarLanes<typename V::Real>{}, whole, count);
}

// Memory for one tile's work, given back at the end of it.
template <class R>
struct Buffer {
  R* data;
  explicit Buffer(int64_t count) : data(static_cast<R*>(std::aligned_alloc(64, (count * sizeof(R) + 63) / 64 * 64))) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data); }
};

}  // namespace
