// A scan goes over tiles of neurons that stay in the first cache while all T steps pass over them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <type_traits>

#include "kernels.hpp"

namespace {

// The membranes of a tile take a quarter of the first cache; the size does not depend on the threads, so that sums over
// tiles do not either.
constexpr int64_t tile_size = 2048;

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

// Whether rows of `size` elements at `p` are stored past the caches: large results would only push out what is still
// needed, and a plain store reads each line before it writes it. Streams need whole lines.
template <class In>
inline bool goes_past_caches(const In* p, int64_t steps, int64_t size) {
  constexpr int64_t least = 1 << 20;
  return std::is_same<In, float>::value && steps * size * static_cast<int64_t>(sizeof(In)) >= least &&
         reinterpret_cast<uintptr_t>(p) % 64 == 0 && size % 16 == 0;
}

// One store, past the caches where `streams` says so.
template <class V, class In>
inline __attribute__((always_inline)) void put(bool streams, In* p, typename V::Float x) {
  if constexpr ((std::is_same<In, float>::value || std::is_same<In, F16>::value) && V::width > 1) {
    if (streams) return V::stream(p, x);
  }
  V::store(p, x);
}

// Asks for what will be read one row later: each row is too short for the processor to notice that it is one.
template <class V, class In>
inline __attribute__((always_inline)) void fetch(const In* p) {
  if constexpr (V::width > 1) __builtin_prefetch(p);
}

template <class V>
inline void drain(bool streams) {
  if constexpr (V::width > 1) {
    if (streams) V::drain();
  }
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
