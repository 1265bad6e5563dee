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
inline void dense_tile(const Dense& p, const Part& part, const uint8_t* from, const int8_t* weight, int32_t* y) {
  Quads sums[columns][quads];
  if (p.far)
#pragma GCC unroll 16
    for (int c = columns; c < 2 * columns; ++c) {
      __builtin_prefetch(from + c * p.step);
      for (int q = 0; q < quads; q += quads_of_16) __builtin_prefetch(y + c * p.y_row + q * (vector_bytes / 4), 1);
    }
  const bool adds = p.adds || part.begin > 0 || part.first > 0;
#pragma GCC unroll 16
  for (int c = 0; c < columns; ++c)
#pragma GCC unroll 8
    for (int q = 0; q < quads; ++q) sums[c][q] = adds ? load<Quads>(y + c * p.y_row + q * (vector_bytes / 4)) : Quads{};
  for (int64_t i = part.begin; i < part.end; ++i) {
    const uint8_t* a = from + i * p.row + part.first / 4 * p.unit;
    const int8_t* w = weight + (i * p.length + part.first) * 16;
    for (int64_t j = part.first; j < part.last; j += 4, a += p.unit, w += 64) {
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
    for (int q = 0; q < quads; ++q) store(y + c * p.y_row + q * (vector_bytes / 4), sums[c][q]);
}

template <int columns, int quads, class... Rest>
inline void dense_tile_of(int64_t count, const Rest&... rest) {
  if (columns == 1 || count == columns) dense_tile<columns, quads>(rest...);
  else dense_tile_of<std::max(1, columns - 1), quads>(count, rest...);
}

template <int columns, int quads>
void dense_outputs(const Dense& p, int64_t k) {
  const int8_t* weight = p.weight + k / 16 * p.weight_stride;
  const auto each = [&](const Part& part) {
    int32_t* y = p.y + k;
    for (int64_t r = 0; r < p.run_count; ++r) {
      const Run& run = p.runs[r];
      // tiles of nearly one width
      for (int64_t x = 0, tiles = (run.columns + columns - 1) / columns; tiles; --tiles) {
        const int64_t count = (run.columns - x + tiles - 1) / tiles;
        dense_tile_of<columns, quads>(count, p, part, run.from + x * p.step, weight, y);
        x += count, y += count * p.y_row;
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

// Four rows of 64 channels.
inline void interleave_four(const uint8_t* const rows[4], uint8_t* to, int64_t group_bytes) {
#if SPIKEDRIVE_RUN_LEVEL >= 2
  const auto row = [&](int i) { return load<__m512i>(rows[i]); };
  const __m512i low01 = _mm512_unpacklo_epi8(row(0), row(1)), high01 = _mm512_unpackhi_epi8(row(0), row(1));
  const __m512i low23 = _mm512_unpacklo_epi8(row(2), row(3)), high23 = _mm512_unpackhi_epi8(row(2), row(3));
  // quarter i of these is channels 4 k to 4 k + 3 of the 16 from 16 i on
  const __m512i a = _mm512_unpacklo_epi16(low01, low23), b = _mm512_unpackhi_epi16(low01, low23);
  const __m512i c = _mm512_unpacklo_epi16(high01, high23), d = _mm512_unpackhi_epi16(high01, high23);
  const __m512i ab = _mm512_shuffle_i32x4(a, b, 0x44), cd = _mm512_shuffle_i32x4(c, d, 0x44);
  const __m512i ab2 = _mm512_shuffle_i32x4(a, b, 0xee), cd2 = _mm512_shuffle_i32x4(c, d, 0xee);
  store(to, _mm512_shuffle_i32x4(ab, cd, 0x88));
  store(to + group_bytes, _mm512_shuffle_i32x4(ab, cd, 0xdd));
  store(to + 2 * group_bytes, _mm512_shuffle_i32x4(ab2, cd2, 0x88));
  store(to + 3 * group_bytes, _mm512_shuffle_i32x4(ab2, cd2, 0xdd));
#else
  for (int64_t c = 0; c < 64; ++c)
    for (int i = 0; i < 4; ++i) to[c / 16 * group_bytes + c % 16 * 4 + i] = rows[i][c];
#endif
}

void interleave(const Interleave& given) {
  // a copy, which bytes that are written cannot be part of
  const Interleave p = given;
  alignas(64) static constexpr uint8_t zeros[64] = {};
  for (int64_t k = 0; k < p.rows; k += 4)
    for (int64_t c = 0; c < p.channels; c += 64) {
      const uint8_t* rows[4];
      for (int64_t i = 0; i < 4; ++i) {
        rows[i] = k + i < p.rows ? p.from + (k + i) * p.row + c : zeros;
        __builtin_prefetch(rows[i] + 8 * p.row);
      }
      interleave_four(rows, p.to + c / 16 * p.group_bytes + k * 16, p.group_bytes);
    }
}

void dense(const Dense& p) {
  for (int64_t k = 0; k < p.outputs; k += group) {
    const int64_t left = p.outputs - k;
    // fewer outputs leave registers for more columns
    if (left <= group / 4) dense_outputs<2 * dense_columns, quads_of_group / 4>(p, k);
    else if (left <= group / 2) dense_outputs<2 * dense_columns, quads_of_group / 2>(p, k);
    else dense_outputs<dense_columns, quads_of_group>(p, k);
  }
}

}  // namespace
