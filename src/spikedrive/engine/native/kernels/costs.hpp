// What kernels cost, which decides between those that give the same integers: lists of what fired, or dense tiles.
#pragma once

#include <array>
#include <cstddef>
#include <numeric>
#include <string>

namespace spikedrive::engine {

namespace cost {
enum : size_t {
  // of dense tiles: a product, the sums of a slot and 64 outputs (of one block of weights, and all together), and a
  // value of the input that is copied
  dense_product,
  dense_block_sums,
  dense_sums,
  dense_value,
  // of lists: a value that is looked at, what it fired where it is a byte, a part of a kernel that is looked for at a
  // position, and a place that is found there
  listed_value,
  listed_byte,
  fed_segment,
  fed_place,
  // a row of 64 or 128 weights that is added up, for single rows and for pairs
  row_64,
  row_128,
  paired_row_64,
  paired_row_128,
  // the sums of a slot and 64 or 128 outputs: those of one block of weights, and all together
  block_sums,
  sums,
  // either way: what 64 outputs of a position take however many the steps are
  position,
  count
};
}  // namespace cost

constexpr std::array<const char*, cost::count> cost_names{
    "dense_product", "dense_block_sums", "dense_sums", "dense_value", "listed_value", "listed_byte", "fed_segment", "fed_place",
    "row_64", "row_128", "paired_row_64", "paired_row_128", "block_sums", "sums", "position"};

// In nanoseconds each.
using Costs = std::array<double, cost::count>;

// Those of an instruction set as `spikedrive bench --calibrate` measured them on a Xeon at 2.5 GHz with AVX-512 and VNNI.
inline Costs builtin_costs(const std::string& level) {
  if (level == "avx512vnni") return {0.00369, 12, 11.1, 0.187, 0.399, 0.576, 9.33, 0.218, 0.931, 1.16, 0.603, 1.26, 12.6, 8.64, 43.6};
  if (level == "avx512") return {0.0159, 15.7, 6.13, 0.244, 0.412, 0.749, 13, 0, 0.884, 1.42, 0.733, 1.18, 13, 8.01, 45.4};
  if (level == "scalar") return {0.493, 746, 412, 0, 0, 22.5, 0, 1.47, 0, 7.92, 0.99, 3.27, 51.1, 479, 350};
  // vectors of NEON, which nobody has measured, are nearest to these
  return {0.0411, 0, 14.2, 0.667, 0.499, 13.4, 13.1, 0.718, 0, 4.66, 0.358, 1.72, 21.6, 0, 200};
}

// How often a run meets what each of them is for, by either way.
struct Amounts {
  std::array<double, cost::count> lists{}, dense{};

  bool favour_lists(const Costs& costs) const {
    const auto sum = [&](const auto& amounts) { return std::inner_product(amounts.begin(), amounts.end(), costs.begin(), 0.0); };
    return sum(lists) < sum(dense);
  }
  void add(const Amounts& more) {
    for (size_t i = 0; i < cost::count; ++i) {
      lists[i] += more.lists[i];
      dense[i] += more.dense[i];
    }
  }
};

}  // namespace spikedrive::engine
