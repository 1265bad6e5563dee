// Every kind of operation with the fields that it has in a file beside "op", "name", "module" and "inputs".
#pragma once

#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "../program.hpp"

namespace spikedrive::engine {

using Widths = std::vector<std::pair<int64_t, int64_t>>;
using Member =
    std::variant<int64_t Op::*, bool Op::*, Pair Op::*, Shape Op::*, Array Op::*, Widths Op::*>;

struct Field {
  std::string_view name;
  Member member;
  // whether a file may leave it out, and so ask for what stands in Op
  bool optional = false;
};

struct KindFields {
  std::string_view name;
  std::vector<Field> fields;
};

// In the order of `Kind`.
inline const std::vector<KindFields>& kinds() {
  static const std::vector<KindFields> all = {
      {"Input", {{"shape", &Op::shape}, {"steps", &Op::steps}, {"high", &Op::high, true}}},
      {"Neuron",
       {{"ladder", &Op::ladder}, {"threshold", &Op::threshold}, {"steps", &Op::steps}, {"exponent", &Op::exponent},
        {"hard", &Op::hard}, {"rest", &Op::rest}, {"decay", &Op::decay}, {"decay_input", &Op::decay_input},
        {"carry", &Op::carry}, {"repeats", &Op::repeats}, {"fraction", &Op::fraction}}},
      {"Conv2d",
       {{"weight", &Op::weight}, {"shift", &Op::shift}, {"bias", &Op::bias}, {"exponent", &Op::exponent},
        {"stride", &Op::stride}, {"padding", &Op::padding}, {"dilation", &Op::dilation}, {"groups", &Op::groups}}},
      {"Linear", {{"weight", &Op::weight}, {"shift", &Op::shift}, {"bias", &Op::bias}, {"exponent", &Op::exponent}}},
      {"Add", {}},
      {"Multiply", {}},
      {"MatMul", {}},
      {"Shift", {{"left", &Op::left}}},
      {"Scale", {{"power", &Op::power}}},
      {"Sum", {{"axes", &Op::axes}, {"keep", &Op::keep}, {"mean", &Op::mean}}},
      {"SumSteps", {{"steps", &Op::steps}, {"mean", &Op::mean}}},
      {"MaxPool2d",
       {{"kernel", &Op::kernel}, {"stride", &Op::stride}, {"padding", &Op::padding}, {"dilation", &Op::dilation}}},
      {"Reshape", {{"shape", &Op::shape}}},
      {"Permute", {{"axes", &Op::axes}}},
      {"Slice", {{"axis", &Op::axis}, {"start", &Op::start}, {"stop", &Op::stop}}},
      {"Concat", {{"axis", &Op::axis}}},
      {"Pad", {{"widths", &Op::widths}, {"value", &Op::value}}},
      {"Embedding", {{"weight", &Op::weight}, {"shift", &Op::shift}, {"exponent", &Op::exponent}}},
  };
  return all;
}

inline const KindFields& fields_of(Kind kind) { return kinds()[static_cast<size_t>(kind)]; }

}  // namespace spikedrive::engine
