// Integers wide enough for the bounds of a program, what is said when they are not met, and sums over weights.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "fields.hpp"
#include "json.hpp"

namespace spikedrive::engine {

struct ShapeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Wide enough for the product of any two 64-bit integers.
__extension__ typedef __int128 Wide;
using Sizes = std::vector<Wide>;

constexpr Wide int64_end = Wide{1} << 63;
constexpr int64_t most_steps = int64_t{1} << 16, most_elements = int64_t{1} << 32;
// NumPy 1.26 has 32, of which two are time and batch.
constexpr size_t most_axes = 30;

namespace inference {

// A value before it is known to fit.
struct Inferred {
  Sizes shape;
  Wide steps, low, high, peak, exponent = 0, divisor = 1;
};

inline Wide magnitude(Wide x) { return x < 0 ? -x : x; }
inline Wide magnitude(const Value& x) { return std::max(magnitude(x.low), magnitude(x.high)); }
inline Sizes sizes(const Shape& shape) { return {shape.begin(), shape.end()}; }

inline bool same(const Shape& a, const Sizes& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// As far as `most_elements`; beyond that, some larger number.
inline Wide product(const Sizes& sizes) {
  Wide count = 1;
  for (const Wide n : sizes)
    if ((count *= n) > most_elements) break;
  return count;
}

template <class Numbers>
std::string words(const Numbers& shape) {
  std::string out = "(";
  for (size_t i = 0; i < shape.size() && i <= most_axes; ++i) {
    char text[32];
    // sizes that are no error fit a double
    std::snprintf(text, sizeof text, "%s%.15g", i ? ", " : "", static_cast<double>(shape[i]));
    out += i < most_axes ? text : ", ...";
  }
  return out + (shape.size() == 1 ? ",)" : ")");
}

inline ShapeError unfit(const Op& op, const Value& x, const std::string& accepted) {
  return ShapeError("Operation " + in_quotes(op.name) + " (" + std::string(fields_of(op.kind).name) + ") got " +
                    std::to_string(x.steps) + " steps of shape " + words(x.shape) + "; it takes " + accepted +
                    ". Compile the model again.");
}

inline ShapeError too_large(const Op& op, double reached) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", reached);
  return ShapeError("Operation " + in_quotes(op.name) + " can reach " + text +
                    "; integers have 64 bits. Use fewer weight bits or fewer steps.");
}

// Products and sums of bounds: what passes 127 bits passes 64.
struct Bounds {
  const Op& op;

  Wide times(Wide a, Wide b) const {
    Wide out;
    if (__builtin_mul_overflow(a, b, &out)) throw too_large(op, static_cast<double>(a) * static_cast<double>(b));
    return out;
  }
  Wide plus(Wide a, Wide b) const {
    Wide out;
    if (__builtin_add_overflow(a, b, &out)) throw too_large(op, static_cast<double>(a) + static_cast<double>(b));
    return out;
  }
  // x * 2**left
  Wide shifted(Wide x, int64_t left) const { return times(x, Wide{1} << left); }
};

template <class Integer>
Integer at(const Array& array, int64_t i) {
  Integer n;
  std::memcpy(&n, array.data + i * static_cast<int64_t>(sizeof n), sizeof n);
  return n;
}

// The sums of the positive and of the negative ones of integers.
struct Sums {
  Wide positive = 0, negative = 0;
};

struct Extremes {
  Wide smallest, largest;
};

template <class Integer>
Sums sums(const Array& array, int64_t first, int64_t count) {
  // a row is shorter than 2**32, so sums of bytes and of pairs of bytes fit
  std::conditional_t<sizeof(Integer) <= 2, int64_t, Wide> positive = 0, negative = 0;
  for (int64_t i = first; i < first + count; ++i) {
    const Integer n = at<Integer>(array, i);
    positive += n > 0 ? n : 0, negative += n < 0 ? n : 0;
  }
  return {positive, negative};
}

template <class Integer>
Extremes extremes(const Array& array, int64_t first, int64_t count) {
  Integer smallest = at<Integer>(array, first), largest = smallest;
  for (int64_t i = first + 1; i < first + count; ++i) {
    const Integer n = at<Integer>(array, i);
    smallest = std::min(smallest, n), largest = std::max(largest, n);
  }
  return {smallest, largest};
}

// `count` integers from the `first` on, of whatever width.
inline Sums sums_of(const Array& array, int64_t first, int64_t count) {
  switch (array.bits) {
    case 8: return sums<int8_t>(array, first, count);
    case 16: return sums<int16_t>(array, first, count);
    case 32: return sums<int32_t>(array, first, count);
    default: return sums<int64_t>(array, first, count);
  }
}

inline Extremes extremes_of(const Array& array, int64_t first, int64_t count) {
  switch (array.bits) {
    case 8: return extremes<int8_t>(array, first, count);
    case 16: return extremes<int16_t>(array, first, count);
    case 32: return extremes<int32_t>(array, first, count);
    default: return extremes<int64_t>(array, first, count);
  }
}

}  // namespace inference

}  // namespace spikedrive::engine
