// Weights of a convolution or linear layer, packed once for each kernel that may run it.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/kernels.hpp"
#include "program.hpp"

namespace spikedrive::engine {

inline int64_t integer_at(const Array& array, int64_t i) {
  const uint8_t* p = array.data + i * (array.bits / 8);
  const auto as = [&](auto kind) {
    std::memcpy(&kind, p, sizeof(kind));
    return static_cast<int64_t>(kind);
  };
  switch (array.bits) {
    case 8: return as(int8_t{});
    case 16: return as(int16_t{});
    case 32: return as(int32_t{});
    default: return as(int64_t{});
  }
}

inline int64_t count_of(const Array& array) {
  int64_t count = 1;
  for (const int64_t n : array.shape) count *= n;
  return count;
}

inline int64_t rounded_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

struct Weights {
  int64_t outputs = 0, padded = 0, channels = 0, rows = 1, columns = 1;
  bool depthwise = false;
  // for `Dense`: bytes of a kernel row, rounded up to whole fours
  int64_t length = 0, dense_stride = 0;
  std::vector<int8_t> dense;
  // for `Sparse`
  std::vector<uint8_t> sparse;
  int64_t most = 0;
  // for `Depthwise`
  std::vector<int16_t> taps;
  std::vector<int32_t> shift, bias;
  // 0: one bias an output; else one a position too, position by position
  int64_t bias_step = 0;
};

// `op` is a Conv2d of one group or of as many as channels, or a Linear, with 8-bit weights.
inline Weights packed(const Op& op, int64_t vector_bytes) {
  Weights w;
  const bool conv = op.kind == Kind::Conv2d;
  w.outputs = op.weight.shape[0];
  w.padded = rounded_up(w.outputs, group);
  w.channels = op.weight.shape[1];
  w.rows = conv ? op.weight.shape[2] : 1;
  w.columns = conv ? op.weight.shape[3] : 1;
  w.depthwise = conv && op.groups > 1;
  const auto weight = [&](int64_t k, int64_t c, int64_t i, int64_t j) {
    return integer_at(op.weight, ((k * w.channels + c) * w.rows + i) * w.columns + j);
  };
  if (w.depthwise) {
    w.taps.resize(w.rows * w.columns * w.outputs + 64);
    for (int64_t i = 0; i < w.rows; ++i)
      for (int64_t j = 0; j < w.columns; ++j)
        for (int64_t k = 0; k < w.outputs; ++k)
          w.taps[(i * w.columns + j) * w.outputs + k] = static_cast<int16_t>(weight(k, 0, i, j));
  } else {
    w.length = rounded_up(w.columns * w.channels, 4);
    w.dense_stride = w.rows * w.length * 16;
    w.dense.assign(w.padded / 16 * w.dense_stride, 0);
    w.sparse.assign(w.rows * w.columns * w.channels * w.padded, 128);
    const int64_t taps = w.rows * w.columns * w.channels;
    int64_t largest = 1;
    for (int64_t k = 0; k < w.outputs; ++k) {
      // where output k stands among the bytes of its vector: the even ones are the first half
      const int64_t lane = k % vector_bytes, half = vector_bytes / 2;
      const int64_t byte = k - lane + (lane < half ? 2 * lane : 2 * (lane - half) + 1);
      for (int64_t i = 0; i < w.rows; ++i)
        for (int64_t j = 0; j < w.columns; ++j)
          for (int64_t c = 0; c < w.channels; ++c) {
            const int64_t value = weight(k, c, i, j), along = j * w.channels + c;
            largest = std::max(largest, value < 0 ? -value : value);
            w.dense[k / 16 * w.dense_stride + (i * w.length + along / 4 * 4) * 16 + k % 16 * 4 + along % 4] =
                static_cast<int8_t>(value);
            w.sparse[(k / group * taps + (i * w.columns + j) * w.channels + c) * group + byte % group] =
                static_cast<uint8_t>(value + 128);
          }
    }
    // every place stands in a list once for each unit, and no sum of so many weights leaves 16 bits
    w.most = 32767 / largest;
  }
  const int64_t positions = count_of(op.bias) / w.outputs;
  w.bias_step = positions > 1 ? w.outputs : 0;
  w.shift.resize(w.outputs);
  for (int64_t k = 0; k < w.outputs; ++k) w.shift[k] = static_cast<int32_t>(integer_at(op.shift, k));
  w.bias.resize(positions * w.outputs);
  for (int64_t k = 0; k < w.outputs; ++k)
    for (int64_t p = 0; p < positions; ++p) w.bias[p * w.outputs + k] = static_cast<int32_t>(integer_at(op.bias, k * positions + p));
  return w;
}

}  // namespace spikedrive::engine
