// Products of matrices of which one holds spikes: sums of the rows that they choose.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// Calls `take(i)` for each of `count` bytes, as often as it says.
template <class Take>
inline __attribute__((always_inline)) void for_each_fired(int64_t count, const uint8_t* x, const Take& take) {
  int64_t i = 0;
#if SPIKEDRIVE_RUN_LEVEL >= 2
  for (; i < count; i += 64) {
    const __mmask64 inside = count - i < 64 ? (uint64_t{1} << (count - i)) - 1 : ~uint64_t{0};
    const __m512i bytes = _mm512_maskz_loadu_epi8(inside, x + i);
    // all that fired, then all that fired twice, and so on
    uint64_t fired = _mm512_test_epi8_mask(bytes, bytes);
    for (int times = 1; fired; fired = _mm512_cmpgt_epu8_mask(bytes, _mm512_set1_epi8(static_cast<char>(times))), ++times)
      for (; fired; fired &= fired - 1) take(i + __builtin_ctzll(fired));
  }
  return;
#endif
  for (; i + 8 <= count; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, x + i, 8);
    for (; eight; eight &= eight - 1) {
      const int bit = __builtin_ctzll(eight);
      for (int n = 1 << bit % 8; n; --n) take(i + bit / 8);
    }
  }
  for (; i < count; ++i)
    for (uint8_t n = x[i]; n; --n) take(i);
}

// `vectors` vectors of words, from column c on, of the sums that one row chooses.
template <int vectors>
inline void across(const Product& p, const uint8_t* a, int64_t c, int32_t* y) {
  SignedWords sums[vectors] = {};
  for_each_fired(p.inner, a, [&](int64_t k) {
    for (int v = 0; v < vectors; ++v) sums[v] += load<SignedWords>(p.b + k * p.b_row + c + v * words_of_vector);
  });
  for (int v = 0; v < vectors; ++v) store(y + c + v * words_of_vector, __builtin_convertvector(sums[v], Wide));
}

void product_narrow(const Product& p) {
  constexpr int64_t four = 4 * words_of_vector;
  if (p.a_inner == 1) {
    for (int64_t n = 0; n < p.rows; ++n) {
      int64_t c = 0;
      int32_t* y = p.y + n * p.y_row;
      for (; c + four <= p.b_row; c += four) across<4>(p, p.a + n * p.a_row, c, y);
      for (; c < p.b_row; c += words_of_vector) across<1>(p, p.a + n * p.a_row, c, y);
    }
    return;
  }
  // a row of b at a time, into the rows of y that it belongs to
  std::memset(p.sums, 0, static_cast<size_t>(p.rows * p.b_row * 2));
  for (int64_t k = 0; k < p.inner; ++k)
    for (int64_t c = 0; c < p.b_row; c += 2 * words_of_vector) {
      const bool both = c + words_of_vector < p.b_row;
      const auto first = load<SignedWords>(p.b + k * p.b_row + c);
      const auto second = both ? load<SignedWords>(p.b + k * p.b_row + c + words_of_vector) : SignedWords{};
      for_each_fired(p.rows, p.a + k * p.a_inner, [&](int64_t n) {
        int16_t* to = p.sums + n * p.b_row + c;
        store(to, load<SignedWords>(to) + first);
        if (both) store(to + words_of_vector, load<SignedWords>(to + words_of_vector) + second);
      });
    }
  for (int64_t n = 0; n < p.rows; ++n)
    for (int64_t c = 0; c < p.b_row; c += words_of_vector)
      store(p.y + n * p.y_row + c, __builtin_convertvector(load<SignedWords>(p.sums + n * p.b_row + c), Wide));
}

inline void add_row(int64_t count, const int16_t* __restrict from, int32_t* __restrict to) {
  for (int64_t m = 0; m < count; ++m) to[m] += from[m];
}

void product(const Product& p) {
  if (p.narrow && (p.a_inner == 1 || p.a_row == 1)) return product_narrow(p);
  for (int64_t n = 0; n < p.rows; ++n) std::memset(p.y + n * p.y_row, 0, static_cast<size_t>(p.b_row) * 4);
  if (p.a_inner == 1) {
    for (int64_t n = 0; n < p.rows; ++n)
      for_each_fired(p.inner, p.a + n * p.a_row, [&](int64_t k) { add_row(p.b_row, p.b + k * p.b_row, p.y + n * p.y_row); });
  } else if (p.a_row == 1) {
    for (int64_t k = 0; k < p.inner; ++k)
      for_each_fired(p.rows, p.a + k * p.a_inner, [&](int64_t n) { add_row(p.b_row, p.b + k * p.b_row, p.y + n * p.y_row); });
  } else {
    for (int64_t n = 0; n < p.rows; ++n)
      for (int64_t k = 0; k < p.inner; ++k)
        for (uint8_t times = p.a[n * p.a_row + k * p.a_inner]; times; --times)
          add_row(p.b_row, p.b + k * p.b_row, p.y + n * p.y_row);
  }
}

// `count` numbers of 16 bits from bytes.
void words_of(int64_t count, const uint8_t* x, int16_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i];
}

}  // namespace
