// What is known of every tensor of a program before it exists: the twin of `check` in ir.py and of every `infer` in
// ir.py, arithmetic.py and layout.py.
//
// A program that passes gives the same values as there, and what is refused here is refused there, so that the runtime
// need not look again.
#pragma once

#include <numeric>

#include "bounds.hpp"

namespace spikedrive::engine {

namespace inference {

inline Inferred like(const Value& x) {
  return {sizes(x.shape), x.steps, x.low, x.high, x.peak, x.exponent, x.divisor};
}

inline Inferred input(const Op& op) {
  if (op.high < 1 || op.high > INT32_MAX)
    throw ShapeError("Operation " + in_quotes(op.name) + " got integers up to " + std::to_string(op.high) +
                     "; a program takes those up to 1, at the least, or 2147483647, at the most. Compile the model again.");
  return {sizes(op.shape), op.steps, 0, op.high, op.high};
}

inline Inferred neuron(const Op& op, const Value& x) {
  const auto levels = static_cast<Wide>(op.ladder.size());
  const bool fits = op.steps >= 1 && op.steps <= most_steps && (x.steps == 1 || x.steps == op.steps);
  if (!fits || op.ladder.empty() || !std::is_sorted(op.ladder.begin(), op.ladder.end()))
    throw unfit(op, x, "1 or " + std::to_string(op.steps) + " steps and a rising ladder");
  const Wide charges = Wide{op.repeats} * (op.carry ? op.steps : 1);
  if (op.repeats < 1 || op.decay < 0 || op.decay > 63 || op.fraction > 63 || op.decay * charges > op.fraction ||
      op.fraction < 0)
    throw unfit(op, x, "decay times charges fraction bits, at most 63, so that every leak is exact");
  const Bounds bounds{op};
  const Wide charge = bounds.shifted(magnitude(x), op.fraction), rest = magnitude(op.rest);
  const Wide reset = op.hard ? 0 : magnitude(op.threshold) * levels;
  const Wide once = bounds.plus(charge, rest);
  Wide reached = 0;
  if (op.decay && op.decay_input)
    // v <= a v + (1 - a) (c + rest) + reset with a <= 1 / 2 never passes c + rest + 2 reset; 4 for rounding
    reached = bounds.plus(once, bounds.plus(bounds.times(2, reset), 4));
  else if (op.decay)
    // v <= v / 2 + c never passes 2 c
    reached = bounds.plus(bounds.plus(bounds.times(2, bounds.plus(once, reset)), rest), once);
  else
    reached = bounds.plus(bounds.plus(bounds.times(charges, bounds.plus(charge, reset)), rest), once);
  const Wide peak = std::max({reached, magnitude(op.ladder.front()), magnitude(op.ladder.back())});
  return {sizes(x.shape), op.steps, 0, bounds.times(levels, op.repeats), peak, op.exponent};
}

inline int64_t elements(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>());
}

inline Inferred weighted(const Op& op, const Value& x, Sizes shape) {
  const Bounds bounds{op};
  const int64_t outputs = op.weight.shape[0];
  const int64_t length = elements(op.weight.shape) / outputs, offsets = elements(op.bias.shape) / outputs;
  // a border, or a partial sum, leaves terms out, as if x were 0 there
  const Wide least = std::min<Wide>(x.low, 0), most = std::max<Wide>(x.high, 0);
  Wide low = 0, high = 0, peak = 0;
  for (int64_t k = 0; k < outputs; ++k) {
    const Sums weights = sums_of(op.weight, k * length, length);
    const Extremes offset = extremes_of(op.bias, k * offsets, offsets);
    const auto left = static_cast<int64_t>(extremes_of(op.shift, k, 1).smallest);
    if (left < 0 || left > 63) throw unfit(op, x, "shifts of 0 to 63");
    const Wide p = weights.positive, n = weights.negative;
    const Wide sum = bounds.times(p - n, magnitude(x));
    // below it stand products of the same p and n with smaller factors
    if (sum >= int64_end) throw too_large(op, static_cast<double>(sum));
    const Wide low_k = bounds.shifted(p * least + n * most, left), high_k = bounds.shifted(p * most + n * least, left);
    if (std::max(-low_k, high_k) >= int64_end) throw too_large(op, static_cast<double>(std::max(-low_k, high_k)));
    low = k ? std::min(low, low_k + offset.smallest) : low_k + offset.smallest;
    high = k ? std::max(high, high_k + offset.largest) : high_k + offset.largest;
    peak = std::max(peak, sum);
  }
  return {std::move(shape), x.steps, low, high, peak, op.exponent, x.divisor};
}

// How many windows fit along the last two axes, after the channels.
inline Sizes windows(const Op& op, const Value& x, const Pair& kernel) {
  const auto smallest = [](const Pair& pair) { return std::min(pair[0], pair[1]); };
  if (std::min({smallest(op.stride), smallest(op.dilation), smallest(kernel)}) < 1 || smallest(op.padding) < 0)
    throw unfit(op, x, "strides, dilations and kernels of at least 1");
  Sizes shape(x.shape.begin(), x.shape.end() - 2), padded = shape;
  padded.push_back(x.steps);
  for (int i = 0; i < 2; ++i) {
    const Wide size = x.shape[x.shape.size() - 2 + i] + 2 * Wide{op.padding[i]};
    // at most 2**126
    const Wide room = size - Wide{op.dilation[i]} * (kernel[i] - 1) - 1;
    if (room < 0) throw unfit(op, x, "at least " + words(kernel));
    shape.push_back(room / op.stride[i] + 1);
    padded.push_back(size);
  }
  if (product(padded) > most_elements)
    throw unfit(op, x, "a padding of at most " + std::to_string(most_elements) + " values per sample");
  return shape;
}

inline Inferred conv2d(const Op& op, const Value& x) {
  const Shape& weight = op.weight.shape;
  if (weight.size() != 4) throw unfit(op, x, "a weight of four axes");
  const int64_t outputs = weight[0];
  // what is compared first keeps groups between 1 and the channels
  if (x.shape.size() != 3 || x.shape[0] != Wide{weight[1]} * op.groups || outputs % op.groups)
    throw unfit(op, x, "(" + std::to_string(weight[1]) + " * groups, H, W) for " + std::to_string(op.groups) +
                           " groups of " + std::to_string(outputs) + " kernels");
  Sizes shape = windows(op, x, {weight[2], weight[3]});
  shape[0] = outputs;
  if (!(same(op.bias.shape, shape) || same(op.bias.shape, {outputs, 1, 1})) || !same(op.shift.shape, {outputs}))
    throw unfit(op, x, "an input at least as large as the kernel and a bias of " + words(shape));
  return weighted(op, x, std::move(shape));
}

inline Inferred linear(const Op& op, const Value& x) {
  const Shape& weight = op.weight.shape;
  if (weight.size() != 2) throw unfit(op, x, "a weight of two axes");
  const Sizes outputs{weight[0]};
  if (x.shape.empty() || x.shape.back() != weight[1] || !same(op.bias.shape, outputs) ||
      !same(op.shift.shape, outputs))
    throw unfit(op, x, "(..., " + std::to_string(weight[1]) + ")");
  Sizes shape = sizes(x.shape);
  shape.back() = weight[0];
  return weighted(op, x, std::move(shape));
}

inline Inferred embedding(const Op& op, const Value& x) {
  const Shape& weight = op.weight.shape;
  if (weight.size() != 2) throw unfit(op, x, "a weight of two axes");
  const int64_t rows = weight[0], width = weight[1];
  // what is known of x makes every read of the table one inside
  if (x.low < 0 || x.high >= rows || !same(op.shift.shape, {width}))
    throw unfit(op, x, "integers 0.." + std::to_string(rows - 1) + " and " + std::to_string(width) + " shifts");
  std::vector<Extremes> columns;
  for (int64_t d = 0; d < width; ++d) columns.push_back(extremes_of(op.weight, d, 1));
  for (int64_t row = 1; row < rows; ++row)
    for (int64_t d = 0; d < width; ++d) {
      const Wide n = extremes_of(op.weight, row * width + d, 1).smallest;
      columns[d] = {std::min(columns[d].smallest, n), std::max(columns[d].largest, n)};
    }
  const Bounds bounds{op};
  Wide low = 0, high = 0;
  for (int64_t d = 0; d < width; ++d) {
    const auto left = static_cast<int64_t>(extremes_of(op.shift, d, 1).smallest);
    if (left < 0 || left > 63) throw unfit(op, x, "shifts of 0 to 63");
    const Wide least = bounds.shifted(columns[d].smallest, left), most = bounds.shifted(columns[d].largest, left);
    low = d ? std::min(low, least) : least;
    high = d ? std::max(high, most) : most;
  }
  Sizes shape = sizes(x.shape);
  shape.push_back(width);
  return {std::move(shape), x.steps, low, high, std::max(-low, high), op.exponent};
}

// Shapes broadcast; `b` stands in the message.
inline Inferred pair(const Op& op, const Value& a, const Value& b, Sizes one, const Sizes& two, Wide low, Wide high) {
  if (one.size() != two.size() || (a.steps != b.steps && a.steps != 1 && b.steps != 1))
    throw unfit(op, b, std::to_string(a.shape.size()) + " axes and " + std::to_string(a.steps) + " steps");
  for (size_t i = 0; i < one.size(); ++i) {
    if (one[i] != two[i] && one[i] != 1 && two[i] != 1)
      throw unfit(op, b, "what broadcasts with " + words(a.shape));
    one[i] = std::max(one[i], two[i]);
  }
  return {std::move(one), std::max(a.steps, b.steps), low, high, std::max(-low, high), 0, 1};
}

inline Inferred add(const Op& op, const Value& a, const Value& b) {
  if (a.exponent != b.exponent || a.divisor != b.divisor)
    throw unfit(op, b, "2**" + std::to_string(a.exponent) + " / " + std::to_string(a.divisor) +
                           " for one unit on both sides");
  Inferred y = pair(op, a, b, sizes(a.shape), sizes(b.shape), Wide{a.low} + b.low, Wide{a.high} + b.high);
  y.exponent = a.exponent, y.divisor = a.divisor;
  return y;
}

// 0 belongs to it, so that the bounds of a sum hold for its parts as well.
inline std::pair<Wide, Wide> corners(const Value& a, const Value& b) {
  const Wide all[] = {0, Wide{a.low} * b.low, Wide{a.low} * b.high, Wide{a.high} * b.low, Wide{a.high} * b.high};
  const auto [low, high] = std::minmax_element(std::begin(all), std::end(all));
  return {*low, *high};
}

inline Inferred in_product_units(Inferred y, const Value& a, const Value& b) {
  y.exponent = Wide{a.exponent} + b.exponent, y.divisor = Wide{a.divisor} * b.divisor;
  return y;
}

inline Inferred multiply(const Op& op, const Value& a, const Value& b) {
  const auto [low, high] = corners(a, b);
  return in_product_units(pair(op, a, b, sizes(a.shape), sizes(b.shape), low, high), a, b);
}

inline Inferred matmul(const Op& op, const Value& a, const Value& b) {
  const size_t axes = a.shape.size(), others = b.shape.size();
  if (axes < 2 || others < 2 || a.shape.back() != b.shape[others - 2])
    throw unfit(op, b, "(..., K, M) after " + words(a.shape));
  const Bounds bounds{op};
  const Wide count = a.shape.back();
  const auto [low, high] = corners(a, b);
  Inferred y = pair(op, a, b, {a.shape.begin(), a.shape.end() - 2}, {b.shape.begin(), b.shape.end() - 2},
                    bounds.times(low, count), bounds.times(high, count));
  y.shape.push_back(a.shape[axes - 2]);
  y.shape.push_back(b.shape.back());
  return in_product_units(std::move(y), a, b);
}

inline Inferred shift(const Op& op, const Value& x) {
  if (op.left < 0 || op.left > 63) throw unfit(op, x, "a shift of 0 to 63");
  const Bounds bounds{op};
  const Wide low = bounds.shifted(x.low, op.left), high = bounds.shifted(x.high, op.left);
  return {sizes(x.shape), x.steps, low, high, std::max(-low, high), Wide{x.exponent} - op.left, x.divisor};
}

inline Inferred scale(const Op& op, const Value& x) {
  Inferred y = like(x);
  y.exponent += op.power;
  return y;
}

inline Inferred summed(const Op& op, const Value& x, Sizes shape, Wide steps, Wide count) {
  // a power of two goes into the exponent
  Wide exponent = x.exponent, rest = op.mean ? count : 1;
  for (; rest % 2 == 0; rest /= 2) --exponent;
  const Bounds bounds{op};
  return {std::move(shape), steps, bounds.times(x.low, count), bounds.times(x.high, count),
          bounds.times(magnitude(x), count), exponent, bounds.times(x.divisor, rest)};
}

inline Inferred sum(const Op& op, const Value& x) {
  const auto axes = static_cast<int64_t>(x.shape.size());
  std::vector<bool> summed_over(x.shape.size());
  for (const int64_t axis : op.axes) {
    if (axis < 0 || axis >= axes || summed_over[axis]) throw unfit(op, x, "axes that it has, each once");
    summed_over[axis] = true;
  }
  Wide count = 1;
  Sizes shape;
  for (int64_t i = 0; i < axes; ++i) {
    if (summed_over[i]) count *= x.shape[i];
    if (op.keep || !summed_over[i]) shape.push_back(summed_over[i] ? 1 : x.shape[i]);
  }
  return summed(op, x, std::move(shape), x.steps, count);
}

inline Inferred sum_steps(const Op& op, const Value& x) {
  if (op.steps < 1 || op.steps > most_steps || (x.steps != 1 && x.steps != op.steps))
    throw unfit(op, x, "1 or " + std::to_string(op.steps) + " steps");
  return summed(op, x, sizes(x.shape), 1, op.steps);
}

inline Inferred max_pool2d(const Op& op, const Value& x) {
  const size_t axes = x.shape.size();
  bool fits = axes >= 2;
  for (int i = 0; i < 2; ++i) {
    fits = fits && op.padding[i] >= 0 && 2 * Wide{op.padding[i]} <= op.kernel[i];
    // else a window could lie in the padding altogether
    fits = fits && (op.padding[i] == 0 || op.dilation[i] <= x.shape[axes - 2 + i]);
  }
  if (!fits) throw unfit(op, x, "(..., H, W) and a padding of at most half the kernel");
  Inferred y = like(x);
  y.shape = windows(op, x, op.kernel);
  return y;
}

inline Inferred reshape(const Op& op, const Value& x) {
  Inferred y = like(x);
  y.shape = sizes(op.shape);
  const bool positive = std::all_of(op.shape.begin(), op.shape.end(), [](int64_t n) { return n >= 1; });
  if (!positive || product(y.shape) != x.size()) throw unfit(op, x, "the size of " + words(op.shape));
  return y;
}

inline Inferred permute(const Op& op, const Value& x) {
  Shape sorted = op.axes, all(x.shape.size());
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), 0);
  if (sorted != all) throw unfit(op, x, std::to_string(op.axes.size()) + " axes");
  Inferred y = like(x);
  for (size_t i = 0; i < all.size(); ++i) y.shape[i] = x.shape[op.axes[i]];
  return y;
}

inline Inferred slice(const Op& op, const Value& x) {
  if (op.axis < 0 || op.axis >= static_cast<int64_t>(x.shape.size()) || op.start < 0 || op.start >= op.stop ||
      op.stop > x.shape[op.axis])
    throw unfit(op, x, std::to_string(op.start) + ".." + std::to_string(op.stop) + " on axis " +
                           std::to_string(op.axis));
  Inferred y = like(x);
  y.shape[op.axis] = op.stop - op.start;
  return y;
}

inline Inferred concat(const Op& op, const std::vector<const Value*>& inputs) {
  if (inputs.empty() || op.axis < 0 || op.axis >= static_cast<int64_t>(inputs[0]->shape.size()))
    throw ShapeError("Operation " + in_quotes(op.name) + " got " + std::to_string(inputs.size()) + " inputs and axis " +
                     std::to_string(op.axis) + "; it takes at least one input that has the axis. " +
                     "Compile the model again.");
  const Value& first = *inputs[0];
  Inferred y = like(first);
  y.shape[op.axis] = 0;
  for (const Value* x : inputs) {
    Shape but_for_axis = x->shape;
    if (but_for_axis.size() == first.shape.size()) but_for_axis[op.axis] = first.shape[op.axis];
    if (but_for_axis != first.shape || x->exponent != first.exponent || x->divisor != first.divisor)
      throw unfit(op, *x, words(first.shape) + " but for axis " + std::to_string(op.axis) + ", in the same units");
    y.shape[op.axis] += x->shape[op.axis];
    y.low = std::min<Wide>(y.low, x->low), y.high = std::max<Wide>(y.high, x->high);
    y.steps = std::max<Wide>(y.steps, x->steps);
  }
  for (const Value* x : inputs)
    if (x->steps != 1 && x->steps != y.steps) throw unfit(op, *x, "the same steps, or 1, from every input");
  y.peak = std::max(-y.low, y.high);
  return y;
}

inline Inferred pad(const Op& op, const Value& x) {
  const bool fits = std::all_of(op.widths.begin(), op.widths.end(),
                                [](const auto& width) { return width.first >= 0 && width.second >= 0; });
  if (!fits || op.widths.size() != x.shape.size())
    throw unfit(op, x, std::to_string(op.widths.size()) + " axes and widths of 0 or more");
  Inferred y = like(x);
  for (size_t i = 0; i < op.widths.size(); ++i) y.shape[i] += Wide{op.widths[i].first} + op.widths[i].second;
  y.low = std::min<Wide>(x.low, op.value), y.high = std::max<Wide>(x.high, op.value);
  y.peak = std::max(-y.low, y.high);
  return y;
}

inline size_t inputs_of(Kind kind) {
  return kind == Kind::Input ? 0 : kind == Kind::Add || kind == Kind::Multiply || kind == Kind::MatMul ? 2 : 1;
}

inline Inferred infer(const Op& op, const std::vector<const Value*>& inputs) {
  const size_t count = inputs_of(op.kind);
  if (op.kind != Kind::Concat && inputs.size() != count)
    throw ShapeError("Operation " + in_quotes(op.name) + " got " + std::to_string(inputs.size()) + " inputs; " +
                     std::string(fields_of(op.kind).name) + " takes " + std::to_string(count) +
                     ". Compile the model again.");
  switch (op.kind) {
    case Kind::Input: return input(op);
    case Kind::Neuron: return neuron(op, *inputs[0]);
    case Kind::Conv2d: return conv2d(op, *inputs[0]);
    case Kind::Linear: return linear(op, *inputs[0]);
    case Kind::Add: return add(op, *inputs[0], *inputs[1]);
    case Kind::Multiply: return multiply(op, *inputs[0], *inputs[1]);
    case Kind::MatMul: return matmul(op, *inputs[0], *inputs[1]);
    case Kind::Shift: return shift(op, *inputs[0]);
    case Kind::Scale: return scale(op, *inputs[0]);
    case Kind::Sum: return sum(op, *inputs[0]);
    case Kind::SumSteps: return sum_steps(op, *inputs[0]);
    case Kind::MaxPool2d: return max_pool2d(op, *inputs[0]);
    case Kind::Reshape: return reshape(op, *inputs[0]);
    case Kind::Permute: return permute(op, *inputs[0]);
    case Kind::Slice: return slice(op, *inputs[0]);
    case Kind::Concat: return concat(op, inputs);
    case Kind::Pad: return pad(op, *inputs[0]);
    case Kind::Embedding: return embedding(op, *inputs[0]);
  }
  throw ShapeError("Operation " + in_quotes(op.name) + " is of no known kind; compile the model again.");
}

// What every value obeys, whatever gave it.
inline Value settled(const Op& op, const Inferred& y) {
  const Wide reached = std::max({y.peak, magnitude(y.low), magnitude(y.high), magnitude(y.exponent), y.divisor});
  if (reached >= int64_end) throw too_large(op, static_cast<double>(reached));
  Wide count = y.steps;
  bool fits = y.steps >= 1 && y.steps <= most_steps && y.shape.size() <= most_axes;
  for (const Wide n : y.shape) fits = fits && n >= 1 && (count *= n) <= most_elements;
  if (!fits || count > most_elements)
    throw ShapeError("Operation " + in_quotes(op.name) + " gives " + std::to_string(static_cast<int64_t>(y.steps)) +
                     " steps of shape " + words(y.shape) + "; a program has 1 to " + std::to_string(most_steps) +
                     " steps, at most " + std::to_string(most_axes) + " axes of at least 1 and at most " +
                     std::to_string(most_elements) + " values per sample. Compile a smaller model.");
  Value value;
  for (const Wide n : y.shape) value.shape.push_back(static_cast<int64_t>(n));
  value.steps = static_cast<int64_t>(y.steps), value.low = static_cast<int64_t>(y.low);
  value.high = static_cast<int64_t>(y.high), value.peak = static_cast<int64_t>(y.peak);
  value.exponent = static_cast<int64_t>(y.exponent), value.divisor = static_cast<int64_t>(y.divisor);
  return value;
}

}  // namespace inference

// What is known of every tensor, in order. Throws ShapeError where an operation does not fit its inputs, reads what no
// earlier one gives, or could leave 64 bits. Arrays must have as many bytes as their shapes say, and no size below 1.
inline std::vector<Value> check(const std::vector<Op>& ops) {
  std::vector<Value> values;
  values.reserve(ops.size());
  for (const Op& op : ops) {
    std::vector<const Value*> inputs;
    for (const int place : op.inputs) {
      if (place < 0 || static_cast<size_t>(place) >= values.size())
        throw ShapeError("Operation " + in_quotes(op.name) + " reads what no earlier one gives; each reads earlier " +
                         "ones. Compile the model again.");
      inputs.push_back(&values[static_cast<size_t>(place)]);
    }
    values.push_back(inference::settled(op, inference::infer(op, inputs)));
  }
  return values;
}

}  // namespace spikedrive::engine
