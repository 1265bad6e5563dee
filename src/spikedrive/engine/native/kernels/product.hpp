// Products of matrices of which one holds spikes: sums of the rows that they choose.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// The bits of those of up to 64 bytes that are above `least`.
inline __attribute__((always_inline)) uint64_t bits_above(const uint8_t* x, int64_t count, int least) {
  const uint64_t inside = count < 64 ? (uint64_t{1} << count) - 1 : ~uint64_t{0};
#if SPIKEDRIVE_RUN_LEVEL >= 2
  return _mm512_mask_cmpgt_epu8_mask(inside, _mm512_maskz_loadu_epi8(inside, x), _mm512_set1_epi8(static_cast<char>(least)));
#elif SPIKEDRIVE_RUN_LEVEL == 1
  const __m256i limit = _mm256_set1_epi8(static_cast<char>(least + 1));
  const auto half = [&](const uint8_t* from) -> uint64_t {
    const auto bytes = load<__m256i>(from);
    return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(bytes, limit), bytes)));
  };
  return inside & (half(x) | half(x + 32) << 32);
#else
  uint64_t bits = 0;
  for (int64_t i = 0; i < count; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, x + i, 8);
    if (eight)
      for (int64_t at = i; at < i + 8; ++at) bits |= static_cast<uint64_t>(x[at] > least) << at;
  }
  return inside & bits;
#endif
}

// Calls `take(i)` for each of up to 64 bytes as often as it says, four at a time; what fills up fours is 64.
template <class Take>
inline __attribute__((always_inline)) void for_each_fired(int64_t count, const uint8_t* x, bool binary, const Take& take) {
  int least = 0;
  do {
    uint64_t fired = bits_above(x, count, least);
    if (!fired) return;
    do {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i, fired &= fired - 1) take(fired ? static_cast<int64_t>(__builtin_ctzll(fired)) : 64);
    } while (fired);
  } while (!binary && ++least < 255);
}

// Rows of one head lie far apart: those so many ahead are asked for, for which any address will do.
constexpr int64_t ahead = 16;
constexpr int64_t tile = product_rows;

// Numbers of 32 bits from a vector of words, of which `count` are wanted.
inline __attribute__((always_inline)) void store_words(int32_t* y, SignedWords sums, int64_t count) {
  const Wide wide = __builtin_convertvector(sums, Wide);
  if (count >= words_of_vector) store(y, wide);
  else
    for (int64_t m = 0; m < count; ++m) y[m] = wide[m];
}

// `vectors` vectors of words, from column c on, of the sums that each row chooses.
template <int vectors>
inline void across(const Product& p, int64_t c) {
  for (int64_t n = 0; n < p.rows; ++n) {
    int32_t* y = p.y + n * p.y_row + c;
    __builtin_prefetch(p.a + (n + ahead) * p.a_row);
    SignedWords sums[vectors] = {};
    for (int64_t k = 0; k < p.inner; k += tile) {
      const int16_t* rows = p.b + (k + k / tile) * p.b_row + c;
      for_each_fired(std::min(tile, p.inner - k), p.a + n * p.a_row + k, p.binary, [&](int64_t at) {
        for (int v = 0; v < vectors; ++v) sums[v] += load<SignedWords>(rows + at * p.b_row + v * words_of_vector);
      });
    }
    for (int v = 0; v < vectors; ++v) store_words(y + v * words_of_vector, sums[v], p.columns - c - v * words_of_vector);
  }
}

void product_narrow(const Product& p) {
  int64_t c = 0;
  for (; c + 4 * words_of_vector <= p.b_row; c += 4 * words_of_vector) across<4>(p, c);
  for (; c + 2 * words_of_vector <= p.b_row; c += 2 * words_of_vector) across<2>(p, c);
  for (; c < p.b_row; c += words_of_vector) across<1>(p, c);
}

int64_t pieces(const Cut& p) {
  int32_t low = 0, high = 0;
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t c = 0; c < p.columns; ++c) {
      const int32_t number = p.from[r * p.row + c];
      low = std::min(low, number), high = std::max(high, number);
    }
  return std::max<int64_t>({1, (high + int64_t{INT8_MAX} - 1) / INT8_MAX, (int64_t{INT8_MAX} - low) / -int64_t{INT8_MIN}});
}

void cut(const Cut& given) {
  // a copy, which bytes that are written cannot be part of
  const Cut p = given;
  const auto above = static_cast<int32_t>(p.piece * INT8_MAX), below = static_cast<int32_t>(p.piece * INT8_MIN);
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t c = 0; c < p.columns; ++c) {
      const int32_t number = p.from[r * p.row + c];
      const int32_t left = number > 0 ? std::max(number - above, 0) : std::min(number - below, 0);
      p.to[r * p.to_row + c] = static_cast<int8_t>(std::min(std::max(left, INT8_MIN), INT8_MAX));
    }
}

// Sums of a tile of rows and columns stay in the first cache, as bytes.
void coincidences(const Coincidences& p) {
  constexpr int64_t vectors = tile / vector_bytes;
  // with a row for what fills up fours
  alignas(64) uint8_t bytes[(tile + 1) * tile];
  for (int64_t r = 0; r < p.rows; r += tile)
    for (int64_t c = 0; c < p.columns; c += tile) {
      const int64_t rows = std::min(tile, p.rows - r);
      std::memset(bytes, 0, static_cast<size_t>(rows * tile));
      for (int64_t k = 0; k < p.inner; ++k) {
        __builtin_prefetch(p.a + (k + ahead) * p.a_inner + r);
        __builtin_prefetch(p.b + (k + ahead) * p.b_inner + c);
        Bytes beside[vectors];
        for (int v = 0; v < vectors; ++v) beside[v] = load<Bytes>(p.b + k * p.b_inner + c + v * vector_bytes);
        for_each_fired(rows, p.a + k * p.a_inner + r, p.binary, [&](int64_t n) {
          uint8_t* to = bytes + n * tile;
          for (int v = 0; v < vectors; ++v) store(to + v * vector_bytes, load<Bytes>(to + v * vector_bytes) + beside[v]);
        });
      }
      for (int64_t n = 0; n < rows; ++n) {
        int16_t* to = p.y + (r + n) * p.y_row + c;
        for (int64_t m = 0; m < tile; m += words_of_vector)
          store(to + m, load<SignedWords>(to + m) + widened(load<HalfBytes>(bytes + n * tile + m)));
      }
    }
}

void product(const Product& p) {
  if (p.narrow && p.a_inner == 1) return product_narrow(p);
  for (int64_t n = 0; n < p.rows; ++n) {
    int32_t* __restrict y = p.y + n * p.y_row;
    std::memset(y, 0, static_cast<size_t>(p.columns) * 4);
    for (int64_t k = 0; k < p.inner; ++k)
      if (const int32_t times = p.a[n * p.a_row + k * p.a_inner])
        for (int64_t m = 0; m < p.columns; ++m) y[m] += times * p.b[(k + k / tile) * p.b_row + m];
  }
}

}  // namespace
