// Sums of weights: over lists of what fired, over windows of bytes, and one weight a channel.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// vectors in a row of 64 outputs
constexpr int row_vectors = group / vector_bytes;

// The sums of G rows of 64 outputs. A row of weights holds 128 more than each, as bytes; a vector of it is taken for
// 16-bit words. `low` sums whole words, `high` the upper byte of each: 16 bits that wrap around are exact as long as the
// sums of weights fit into them.
template <int G>
struct Accumulators {
  static constexpr int count = G * row_vectors;
  Words low[count], high[count];

  void clear() {
    for (int v = 0; v < count; ++v) low[v] = high[v] = Words{};
  }
  void resume(const uint16_t* from) {
    for (int v = 0; v < count; ++v) {
      low[v] = load<Words>(from + 2 * v * (vector_bytes / 2));
      high[v] = load<Words>(from + (2 * v + 1) * (vector_bytes / 2));
    }
  }
  void pause(uint16_t* to) const {
    for (int v = 0; v < count; ++v) {
      store(to + 2 * v * (vector_bytes / 2), low[v]);
      store(to + (2 * v + 1) * (vector_bytes / 2), high[v]);
    }
  }
  // `block` bytes lie between the rows of one 64 outputs and those of the next
  inline __attribute__((always_inline)) void take(const uint8_t* row, int64_t block) {
#pragma GCC unroll 8
    for (int v = 0; v < count; ++v) {
      const Words y = load<Words>(row + v / row_vectors * block + v % row_vectors * vector_bytes);
      low[v] += y;
      high[v] += y >> 8;
    }
  }
  inline __attribute__((always_inline)) void take_all(const uint32_t* place, const uint32_t* end, const uint8_t* weight,
                                                      int64_t block) {
    for (; place < end; ++place) take(weight + static_cast<int64_t>(*place) * group, block);
  }
  // Writes the sums of `rows` rows, or adds them; the weights are packed so that even bytes are the first half.
  template <bool adds>
  void give(int64_t rows, int32_t* y) const {
    const Words excess = Words{} + static_cast<uint16_t>(128 * rows);
    for (int v = 0; v < count; ++v) {
      int32_t* to = y + v * vector_bytes;
      put<adds>(to, low[v] - (high[v] << 8) - excess);
      put<adds>(to + vector_bytes / 2, high[v] - excess);
    }
  }

 private:
  template <bool adds>
  static void put(int32_t* to, Words sums) {
    const Wide wide = __builtin_convertvector((SignedWords)sums, Wide);
    store(to, adds ? load<Wide>(to) + wide : wide);
  }
};

// Columns that are worked on together, and the bytes of weights that should stay in the first cache meanwhile.
constexpr int64_t together = 32, near_bytes = 28672;

// The kernel columns that one output column meets.
struct Reach {
  int64_t first, end;
};

inline Reach reach(const Sparse& p, int64_t x, int64_t from, int64_t to) {
  const int64_t left = x * p.stride - p.padding;
  return {std::max<int64_t>(left + from, 0), std::min(left + to, p.in_columns)};
}

// G rows of 64 outputs from `output` on, for the columns [begin, end). The weights of one tap after another, of one
// kernel row or of all, whichever stays near, pass over all columns.
template <int G>
void sparse_block(const Sparse& p, int64_t output, int64_t begin, int64_t end, const int32_t* rows, bool narrow) {
  const int64_t padded = (p.outputs + group - 1) / group * group, taps = p.kernel_rows * p.kernel_columns;
  const int64_t block = taps * p.channels * group, tap_bytes = p.channels * group * G;
  const uint8_t* weight = p.weight + output / group * block;
  alignas(64) uint16_t paused[together * 2 * G * group / 2];
  const int64_t wide = p.kernel_columns * tap_bytes <= near_bytes ? p.kernel_columns : 1;
  Accumulators<G> sums;
  bool fresh = true;
  for (int64_t i = 0; i < p.kernel_rows; ++i) {
    const Fired& row = p.rows[i];
    if (!row.places) continue;
    for (int64_t j = 0; j < p.kernel_columns; j += wide) {
      for (int64_t x = begin; x < end; ++x) {
        uint16_t* held = paused + (x - begin) * G * group;
        int32_t* y = p.y + x * padded + output;
        const Reach at = reach(p, x, j, j + wide);
        const bool empty = at.first >= at.end;
        const uint32_t* place = row.places + (empty ? 0 : row.starts[at.first]);
        const uint32_t* last = row.places + (empty ? 0 : row.starts[at.end]);
        // the weight of place 0 of the row, as if it lay within reach
        const uint8_t* base = weight + (i * p.kernel_columns - (x * p.stride - p.padding) - p.origin) * p.channels * group;
        if (narrow) {
          if (fresh) sums.clear();
          else sums.resume(held);
          sums.take_all(place, last, base, block);
          sums.pause(held);
          continue;
        }
        bool first = fresh;
        do {
          const uint32_t* stop = last - place > p.most ? place + p.most : last;
          sums.clear();
          sums.take_all(place, stop, base, block);
          if (first) sums.template give<false>(stop - place, y);
          else sums.template give<true>(stop - place, y);
          first = false;
          place = stop;
        } while (place < last);
      }
      fresh = false;
    }
  }
  if (!narrow && !fresh) return;
  for (int64_t x = begin; x < end; ++x) {
    if (fresh) sums.clear();
    else sums.resume(paused + (x - begin) * G * group);
    sums.template give<false>(rows[x - begin], p.y + x * padded + output);
  }
}

void sparse(const Sparse& p) {
  const int64_t padded = (p.outputs + group - 1) / group * group;
  for (int64_t begin = 0; begin < p.columns; begin += together) {
    const int64_t end = std::min(begin + together, p.columns);
    int32_t rows[together], most = 0;
    for (int64_t x = begin; x < end; ++x) {
      const Reach at = reach(p, x, 0, p.kernel_columns);
      int32_t& sum = rows[x - begin] = 0;
      for (int64_t i = 0; i < p.kernel_rows && at.first < at.end; ++i)
        if (p.rows[i].places) sum += p.rows[i].starts[at.end] - p.rows[i].starts[at.first];
      most = std::max(most, sum);
    }
    const bool narrow = most <= p.most;
    int64_t k = 0;
    if (p.channels * group * 2 <= near_bytes)
      for (; k + 2 * group <= padded; k += 2 * group) sparse_block<2>(p, k, begin, end, rows, narrow);
    for (; k < padded; k += group) sparse_block<1>(p, k, begin, end, rows, narrow);
  }
}

// `columns` windows times 64 outputs.
template <int columns>
inline void dense_tile(const Dense& p, const uint8_t* from, const int8_t* weight, int32_t* y, int64_t padded) {
  Quads sums[columns][quads_of_group];
  for (auto& column : sums)
    for (auto& sum : column) sum = Quads{};
  for (int64_t i = 0; i < p.windows.segments; ++i) {
    const uint8_t* a = from + i * p.windows.row;
    const int8_t* w = weight + i * (p.windows.length / 4) * 64;
    for (int64_t j = 0; j < p.windows.length; j += 4, a += 4, w += 64) {
      Bytes rows[quads_of_group];
      for (int q = 0; q < quads_of_group; ++q) rows[q] = load<Bytes>(w + q / quads_of_16 * p.weight_stride + q % quads_of_16 * vector_bytes);
#pragma GCC unroll 8
      for (int c = 0; c < columns; ++c) {
        int32_t four;
        std::memcpy(&four, a + c * p.windows.step, 4);
#pragma GCC unroll 8
        for (int q = 0; q < quads_of_group; ++q) sums[c][q] = dot(sums[c][q], four, rows[q]);
      }
    }
  }
  for (int c = 0; c < columns; ++c)
    for (int q = 0; q < quads_of_group; ++q) store(y + c * padded + q * (vector_bytes / 4), sums[c][q]);
}

void dense(const Dense& p) {
  const int64_t padded = (p.outputs + group - 1) / group * group;
  for (int64_t k = 0; k < padded; k += group) {
    const int8_t* weight = p.weight + k / 16 * p.weight_stride;
    int64_t x = 0;
    const auto from = [&] { return p.windows.from + x * p.windows.step; };
    for (; x + dense_columns <= p.columns; x += dense_columns)
      dense_tile<dense_columns>(p, from(), weight, p.y + x * padded + k, padded);
    for (; x < p.columns; ++x) dense_tile<1>(p, from(), weight, p.y + x * padded + k, padded);
  }
}

// How a depthwise sum takes a vector of channels: spikes select words, small sums stay words, others need 32 bits.
struct Selects {
  using Sum = SignedWords;
  static Sum take(Sum sum, HalfBytes x, SignedWords w) { return selected(sum, x, w); }
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

template <class How>
void depthwise_as(const Depthwise& p) {
  constexpr int64_t lanes = vector_bytes / 2;
  constexpr int tile = vector_bytes == 64 ? 8 : 4;
  const int64_t padded = (p.channels + group - 1) / group * group, whole = p.channels / lanes * lanes;
  int64_t x = 0;
  for (; x + tile <= p.columns; x += tile)
    for (int64_t c = 0; c < whole; c += lanes) depthwise_tile<tile, How>(p, p.from + x * p.step, c, p.y + x * padded, padded);
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
