// Sums of weights over windows of bytes.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// The part of a window that one block of weights meets: bytes [first, last) of segments [begin, end).
struct Part {
  int64_t begin, end, first, last;
};

// `columns` windows times `quads` vectors of outputs, for one part of the windows.
template <int columns, int quads>
inline void dense_tile(const Dense& p, const Part& part, const uint8_t* from, const int8_t* weight, int32_t* y, int64_t padded) {
  Quads sums[columns][quads];
  const bool adds = part.begin > 0 || part.first > 0;
#pragma GCC unroll 16
  for (int c = 0; c < columns; ++c)
#pragma GCC unroll 8
    for (int q = 0; q < quads; ++q) sums[c][q] = adds ? load<Quads>(y + c * padded + q * (vector_bytes / 4)) : Quads{};
  for (int64_t i = part.begin; i < part.end; ++i) {
    const uint8_t* a = from + i * p.row + part.first;
    const int8_t* w = weight + (i * p.length + part.first) * 16;
    for (int64_t j = part.first; j < part.last; j += 4, a += 4, w += 64) {
      Bytes rows[quads];
      for (int q = 0; q < quads; ++q) rows[q] = load<Bytes>(w + q / quads_of_16 * p.weight_stride + q % quads_of_16 * vector_bytes);
#pragma GCC unroll 16
      for (int c = 0; c < columns; ++c) {
        int32_t four;
        std::memcpy(&four, a + c * p.step, 4);
#pragma GCC unroll 8
        for (int q = 0; q < quads; ++q) sums[c][q] = dot(sums[c][q], four, rows[q]);
      }
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < columns; ++c)
#pragma GCC unroll 8
    for (int q = 0; q < quads; ++q) store(y + c * padded + q * (vector_bytes / 4), sums[c][q]);
}

template <int columns, int quads, class... Rest>
inline void dense_tile_of(int64_t count, const Rest&... rest) {
  if (columns == 1 || count == columns) dense_tile<columns, quads>(rest...);
  else dense_tile_of<std::max(1, columns - 1), quads>(count, rest...);
}

template <int columns, int quads>
void dense_outputs(const Dense& p, int64_t k, int64_t padded) {
  const int8_t* weight = p.weight + k / 16 * p.weight_stride;
  const auto each = [&](const Part& part) {
    int32_t* y = p.y + k;
    for (int64_t r = 0; r < p.run_count; ++r) {
      const Run& run = p.runs[r];
      // tiles of nearly one width
      for (int64_t x = 0, tiles = (run.columns + columns - 1) / columns; tiles; --tiles) {
        const int64_t count = (run.columns - x + tiles - 1) / tiles;
        dense_tile_of<columns, quads>(count, p, part, run.from + x * p.step, weight, y, padded);
        x += count, y += count * padded;
      }
    }
  };
  // as many weights at once as stay in the first cache while all runs meet them
  if (p.length < dense_block) {
    const int64_t segments = dense_block / p.length;
    for (int64_t i = 0; i < p.segments; i += segments) each({i, std::min(i + segments, p.segments), 0, p.length});
    return;
  }
  const int64_t parts = (p.length + dense_block - 1) / dense_block, bytes = (p.length / 4 + parts - 1) / parts * 4;
  for (int64_t i = 0; i < p.segments; ++i)
    for (int64_t j = 0; j < p.length; j += bytes) each({i, i + 1, j, std::min(j + bytes, p.length)});
}

void dense(const Dense& p) {
  const int64_t padded = (p.outputs + group - 1) / group * group;
  for (int64_t k = 0; k < p.outputs; k += group) {
    const int64_t left = p.outputs - k;
    // fewer outputs leave registers for more columns
    if (left <= group / 4) dense_outputs<2 * dense_columns, quads_of_group / 4>(p, k, padded);
    else if (left <= group / 2) dense_outputs<2 * dense_columns, quads_of_group / 2>(p, k, padded);
    else dense_outputs<dense_columns, quads_of_group>(p, k, padded);
  }
}

}  // namespace
