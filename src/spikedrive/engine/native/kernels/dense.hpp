// Sums of weights over windows of bytes.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// `columns` windows times `quads` vectors of outputs.
template <int columns, int quads>
inline void dense_tile(const Dense& p, const uint8_t* from, const int8_t* weight, int32_t* y, int64_t padded) {
  Quads sums[columns][quads];
  for (auto& column : sums)
    for (auto& sum : column) sum = Quads{};
  for (int64_t i = 0; i < p.windows.segments; ++i) {
    const uint8_t* a = from + i * p.windows.row;
    const int8_t* w = weight + i * (p.windows.length / 4) * 64;
    for (int64_t j = 0; j < p.windows.length; j += 4, a += 4, w += 64) {
      Bytes rows[quads];
      for (int q = 0; q < quads; ++q) rows[q] = load<Bytes>(w + q / quads_of_16 * p.weight_stride + q % quads_of_16 * vector_bytes);
#pragma GCC unroll 16
      for (int c = 0; c < columns; ++c) {
        int32_t four;
        std::memcpy(&four, a + c * p.windows.step, 4);
#pragma GCC unroll 8
        for (int q = 0; q < quads; ++q) sums[c][q] = dot(sums[c][q], four, rows[q]);
      }
    }
  }
  for (int c = 0; c < columns; ++c)
    for (int q = 0; q < quads; ++q) store(y + c * padded + q * (vector_bytes / 4), sums[c][q]);
}

template <int columns, int quads>
void dense_outputs(const Dense& p, int64_t k, int64_t padded) {
  const int8_t* weight = p.weight + k / 16 * p.weight_stride;
  int64_t x = 0;
  const auto from = [&] { return p.windows.from + x * p.windows.step; };
  for (; x + columns <= p.columns; x += columns) dense_tile<columns, quads>(p, from(), weight, p.y + x * padded + k, padded);
  for (; x < p.columns; ++x) dense_tile<1, quads>(p, from(), weight, p.y + x * padded + k, padded);
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
