// Sums of one weight a channel over windows of bytes.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// How a depthwise sum takes a vector of channels: spikes select words, small sums stay words, others need 32 bits.
struct Selects {
  using Sum = SignedWords;
  static Sum take(Sum sum, HalfBytes x, SignedWords w) { return selected(sum, selection(x), w); }
};
struct Narrow {
  using Sum = SignedWords;
  static Sum take(Sum sum, HalfBytes x, SignedWords w) { return sum + widened(x) * w; }
};
struct Broad {
  using Sum = Wide;
  static Sum take(Sum sum, HalfBytes x, SignedWords w) {
    return sum + __builtin_convertvector(x, Wide) * __builtin_convertvector(w, Wide);
  }
};

// `columns` windows times one vector of channels from `c` on.
template <int columns, class How>
inline void depthwise_tile(const Depthwise& p, const uint8_t* window, int64_t c, int32_t* y, int64_t padded) {
  typename How::Sum sums[columns];
  for (auto& sum : sums) sum = typename How::Sum{};
  const int16_t* w = p.weight + c;
  for (int64_t i = 0; i < p.kernel_rows; ++i) {
    const uint8_t* at = window + i * p.row + c;
    for (int64_t j = 0; j < p.kernel_columns; ++j, at += p.kernel_step, w += p.channels) {
      const auto weight = load<SignedWords>(w);
#pragma GCC unroll 8
      for (int x = 0; x < columns; ++x) sums[x] = How::take(sums[x], load<HalfBytes>(at + x * p.step), weight);
    }
  }
  for (int x = 0; x < columns; ++x) store(y + x * padded + c, __builtin_convertvector(sums[x], Wide));
}

// The same for spikes where windows overlap in all but one column: what a column selects serves every window over it.
template <int columns, int kernel>
inline void selecting_tile(const Depthwise& p, const uint8_t* window, int64_t c, int32_t* y, int64_t padded) {
  SignedWords sums[columns] = {};
  for (int64_t i = 0; i < p.kernel_rows; ++i) {
    const uint8_t* at = window + i * p.row + c;
    const int16_t* w = p.weight + i * kernel * p.channels + c;
    SignedWords weights[kernel];
#pragma GCC unroll 8
    for (int j = 0; j < kernel; ++j) weights[j] = load<SignedWords>(w + j * p.channels);
#pragma GCC unroll 16
    for (int u = 0; u < columns + kernel - 1; ++u) {
      const Selection x = selection(load<HalfBytes>(at + u * p.step));
#pragma GCC unroll 8
      for (int j = 0; j < kernel; ++j)
        if (u - j >= 0 && u - j < columns) sums[u - j] = selected(sums[u - j], x, weights[j]);
    }
  }
  for (int x = 0; x < columns; ++x) store(y + x * padded + c, __builtin_convertvector(sums[x], Wide));
}

template <int columns>
inline bool selecting_tiles(const Depthwise& p, const uint8_t* window, int64_t whole, int32_t* y, int64_t padded) {
  if (p.step != p.kernel_step || (p.kernel_columns != 3 && p.kernel_columns != 5 && p.kernel_columns != 7)) return false;
  for (int64_t c = 0; c < whole; c += vector_bytes / 2) {
    if (p.kernel_columns == 3) selecting_tile<columns, 3>(p, window, c, y, padded);
    else if (p.kernel_columns == 5) selecting_tile<columns, 5>(p, window, c, y, padded);
    else selecting_tile<columns, 7>(p, window, c, y, padded);
  }
  return true;
}

template <class How>
void depthwise_as(const Depthwise& p) {
  constexpr int64_t lanes = vector_bytes / 2;
  constexpr int tile = vector_bytes == 64 ? 8 : 4;
  const int64_t padded = (p.channels + group - 1) / group * group, whole = p.channels / lanes * lanes;
  int64_t x = 0;
  for (; x + tile <= p.columns; x += tile) {
    if (std::is_same_v<How, Selects> && selecting_tiles<tile>(p, p.from + x * p.step, whole, p.y + x * padded, padded)) continue;
    for (int64_t c = 0; c < whole; c += lanes) depthwise_tile<tile, How>(p, p.from + x * p.step, c, p.y + x * padded, padded);
  }
  for (; x < p.columns; ++x)
    for (int64_t c = 0; c < whole; c += lanes) depthwise_tile<1, How>(p, p.from + x * p.step, c, p.y + x * padded, padded);
  for (x = 0; x < p.columns; ++x)
    for (int64_t c = whole; c < p.channels; ++c) {
      const uint8_t* window = p.from + x * p.step + c;
      const int16_t* w = p.weight + c;
      int32_t sum = 0;
      for (int64_t i = 0; i < p.kernel_rows; ++i)
        for (int64_t j = 0; j < p.kernel_columns; ++j, w += p.channels) sum += window[i * p.row + j * p.kernel_step] * *w;
      p.y[x * padded + c] = sum;
    }
}

void depthwise(const Depthwise& p) {
  if (p.narrow && p.binary) depthwise_as<Selects>(p);
  else if (p.narrow) depthwise_as<Narrow>(p);
  else depthwise_as<Broad>(p);
}

}  // namespace
