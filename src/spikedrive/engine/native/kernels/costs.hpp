// What kernels cost, which decides between those that give the same integers: lists of what fired, or dense tiles.
#pragma once

#include <array>
#include <cstddef>
#include <numeric>
#include <string>

namespace spikedrive::engine {

namespace cost {
enum : size_t {
  // of dense tiles: a product, the sums of a slot and 64 outputs, and a value of the input that is copied
  dense_product,
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
    "dense_product", "dense_sums", "dense_value", "listed_value", "listed_byte", "fed_segment", "fed_place",
    "row_64", "row_128", "paired_row_64", "paired_row_128", "block_sums", "sums", "position"};

// In nanoseconds each.
using Costs = std::array<double, cost::count>;

// Those of an instruction set as `spikedrive bench --calibrate` measured them on a Xeon at 2.5 GHz with AVX-512 and VNNI.
inline Costs builtin_costs(const std::string& level) {
  if (level == "avx512vnni") return {0.00384, 11.7, 0.216, 0.34, 0.409, 9.77, 0, 0.832, 1.33, 0.705, 1.19, 12, 3.33, 53.4};
  if (level == "avx512") return {0.018, 10.9, 0.24, 0.304, 0.554, 16, 0, 0.71, 1.37, 0.722, 1.04, 8.71, 7.68, 49.7};
  if (level == "scalar") return {0.387, 208, 2.46, 0.813, 10.3, 0, 0.172, 2.74, 6.83, 1.28, 4.79, 31, 245, 193};
  // vectors of NEON, which nobody has measured, are nearest to these
  return {0.033, 1.19, 0.611, 0.364, 13, 12.8, 0, 0.942, 2.72, 0.804, 1.57, 16.2, 0, 156};
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
