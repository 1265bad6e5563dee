// Every operation in 64 bits, element by element: what runs where no kernel fits, and what kernels are tested against.
#pragma once

#include <algorithm>

#include "views.hpp"
#include "weights.hpp"

namespace spikedrive::engine {

using Long = int64_t;

inline Tensor rows64(int64_t steps, int64_t batch, const Shape& shape) {
  return empty(Type::i64, steps, batch, shape, dense_strides(shape, static_cast<int64_t>(shape.size()) - 1));
}

// x << n, for negative numbers too
inline Long shifted(Long x, int64_t n) { return static_cast<Long>(static_cast<uint64_t>(x) << n); }

inline void plain_conv(const Op& op, const Tensor& x, const Tensor& y) {
  const int64_t channels = op.weight.shape[1], kh = op.weight.shape[2], kw = op.weight.shape[3];
  const int64_t height = x.shape[1], width = x.shape[2], outputs = y.shape[0], rows = y.shape[1], columns = y.shape[2];
  const int64_t per_group = outputs / op.groups;
  const bool placed = count_of(op.bias) > outputs;
  for (int64_t t = 0; t < y.steps; ++t)
    for (int64_t b = 0; b < y.batch; ++b) {
      const Long* from = x.at<Long>(t, b);
      Long* to = y.at<Long>(t, b);
      for (int64_t k = 0; k < outputs; ++k)
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t q = 0; q < columns; ++q) {
            Long sum = 0;
            for (int64_t c = 0; c < channels; ++c)
              for (int64_t i = 0; i < kh; ++i)
                for (int64_t j = 0; j < kw; ++j) {
                  const int64_t u = r * op.stride[0] + i * op.dilation[0] - op.padding[0];
                  const int64_t v = q * op.stride[1] + j * op.dilation[1] - op.padding[1];
                  if (u < 0 || v < 0 || u >= height || v >= width) continue;
                  const int64_t channel = k / per_group * channels + c;
                  sum += integer_at(op.weight, ((k * channels + c) * kh + i) * kw + j) * from[(channel * height + u) * width + v];
                }
            const int64_t at = (k * rows + r) * columns + q;
            to[at] = shifted(sum, integer_at(op.shift, k)) + integer_at(op.bias, placed ? at : k);
          }
    }
}

inline void plain_linear(const Op& op, const Tensor& x, const Tensor& y) {
  const int64_t outputs = op.weight.shape[0], channels = op.weight.shape[1], rows = x.size() / channels;
  for (int64_t t = 0; t < y.steps; ++t)
    for (int64_t b = 0; b < y.batch; ++b) {
      const Long* from = x.at<Long>(t, b);
      Long* to = y.at<Long>(t, b);
      for (int64_t n = 0; n < rows; ++n)
        for (int64_t k = 0; k < outputs; ++k) {
          Long sum = 0;
          for (int64_t c = 0; c < channels; ++c) sum += integer_at(op.weight, k * channels + c) * from[n * channels + c];
          to[n * outputs + k] = shifted(sum, integer_at(op.shift, k)) + integer_at(op.bias, k);
        }
    }
}

// x lies in 0..rows-1: what is known of it says so, and of the input what the engine checks.
inline void plain_embedding(const Op& op, const Tensor& x, const Tensor& y) {
  const int64_t width = op.weight.shape[1], places = x.size();
  for (int64_t t = 0; t < y.steps; ++t)
    for (int64_t b = 0; b < y.batch; ++b) {
      const Long* from = x.at<Long>(t, b);
      Long* to = y.at<Long>(t, b);
      for (int64_t i = 0; i < places; ++i)
        for (int64_t d = 0; d < width; ++d)
          to[i * width + d] = shifted(integer_at(op.weight, from[i] * width + d), integer_at(op.shift, d));
    }
}

// `carried`, where given, holds the membranes (batch, shape...) before the first step, and then those after the last.
inline void plain_neuron(const Op& op, const Tensor& x, const Tensor& y, const Tensor* carried) {
  const int64_t size = x.size();
  List<Long> own(carried ? 0 : size);
  for (int64_t b = 0; b < y.batch; ++b) {
    Long* v = carried ? carried->at<Long>(0, b) : own.data();
    if (!carried) std::fill(v, v + size, op.rest);
    for (int64_t t = 0; t < y.steps; ++t) {
      const Long* from = x.at<Long>(t, b);
      Long* to = y.at<Long>(t, b);
      for (int64_t i = 0; i < size; ++i) {
        Long charge = shifted(from[i], op.fraction);
        if (op.decay_input) charge -= charge >> op.decay;
        if (!op.carry) v[i] = op.rest;
        Long total = 0;
        for (int64_t r = 0; r < op.repeats; ++r) {
          const Long h = (v[i] >> op.decay) + (op.rest - (op.rest >> op.decay)) + charge;
          Long fired = 0;
          for (const Long rung : op.ladder) fired += h >= rung;
          v[i] = op.hard ? (fired ? op.rest : h) : h - op.threshold * fired;
          total += fired;
        }
        to[i] = total;
      }
    }
  }
}

// How far x, of the same rank, moves for each axis of a broadcast result.
inline Shape broadcast_strides(const Tensor& x, const Shape& shape) {
  Shape strides = x.strides;
  for (size_t axis = 0; axis < shape.size(); ++axis)
    if (x.shape[axis] == 1) strides[axis] = 0;
  return strides;
}

template <class Combine>
void plain_pair(const Tensor& a, const Tensor& b, const Tensor& y, const Combine& combine) {
  const Shape left = broadcast_strides(a, y.shape), right = broadcast_strides(b, y.shape);
  List<int64_t> places;
  for_each(y.shape, left, [&](int64_t, int64_t place) { places.push_back(place); });
  for (int64_t t = 0; t < y.steps; ++t)
    for (int64_t n = 0; n < y.batch; ++n) {
      const Long *p = a.at<Long>(t, n), *q = b.at<Long>(t, n);
      Long* to = y.at<Long>(t, n);
      for_each(y.shape, right, [&](int64_t i, int64_t place) { to[i] = combine(p[places[i]], q[place]); });
    }
}

inline void plain_product(const Tensor& a, const Tensor& b, const Tensor& y) {
  const size_t rank = y.shape.size();
  const int64_t rows = y.shape[rank - 2], columns = y.shape[rank - 1], inner = a.shape[rank - 1];
  const Shape leading(y.shape.begin(), y.shape.end() - 2);
  const Shape left = broadcast_strides(a, y.shape), right = broadcast_strides(b, y.shape);
  List<int64_t> places;
  for_each(leading, left, [&](int64_t, int64_t place) { places.push_back(place); });
  for (int64_t t = 0; t < y.steps; ++t)
    for (int64_t n = 0; n < y.batch; ++n)
      for_each(leading, right, [&](int64_t i, int64_t place) {
        const Long *p = a.at<Long>(t, n) + places[i], *q = b.at<Long>(t, n) + place;
        Long* to = y.at<Long>(t, n) + i * rows * columns;
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < columns; ++c) {
            Long sum = 0;
            for (int64_t k = 0; k < inner; ++k) sum += p[r * inner + k] * q[k * columns + c];
            to[r * columns + c] = sum;
          }
      });
}

inline void plain_sum(const Op& op, const Tensor& x, const Tensor& y) {
  // y's strides for x's axes: 0 along those that are summed
  Shape strides(x.shape.size(), 0);
  size_t kept = 0;
  for (size_t axis = 0; axis < x.shape.size(); ++axis) {
    const bool gone = std::find(op.axes.begin(), op.axes.end(), static_cast<int64_t>(axis)) != op.axes.end();
    if (!gone) strides[axis] = y.strides[kept];
    kept += !gone || op.keep;
  }
  for (int64_t t = 0; t < y.steps; ++t)
    for (int64_t b = 0; b < y.batch; ++b) {
      const Long* from = x.at<Long>(t, b);
      Long* to = y.at<Long>(t, b);
      std::fill(to, to + y.size(), 0);
      for_each(x.shape, strides, [&](int64_t i, int64_t place) { to[place] += from[i]; });
    }
}

// `carried`, where given, holds the sum so far.
inline void plain_sum_steps(const Op& op, const Tensor& x, const Tensor& y, const Tensor* carried) {
  const int64_t size = y.size(), again = x.steps == 1 ? op.steps : 1;
  for (int64_t b = 0; b < y.batch; ++b) {
    Long* to = y.at<Long>(0, b);
    std::fill(to, to + size, 0);
    for (int64_t t = 0; t < x.steps; ++t)
      for (int64_t i = 0; i < size; ++i) to[i] += x.at<Long>(t, b)[i] * again;
    if (!carried) continue;
    Long* sum = carried->at<Long>(0, b);
    for (int64_t i = 0; i < size; ++i) to[i] = sum[i] += to[i];
  }
}

inline void plain_max_pool(const Op& op, const Tensor& x, const Tensor& y) {
  const size_t rank = x.shape.size();
  const int64_t height = x.shape[rank - 2], width = x.shape[rank - 1], rows = y.shape[rank - 2], columns = y.shape[rank - 1];
  const int64_t maps = x.size() / (height * width);
  for (int64_t t = 0; t < y.steps; ++t)
    for (int64_t b = 0; b < y.batch; ++b)
      for (int64_t m = 0; m < maps; ++m) {
        const Long* from = x.at<Long>(t, b) + m * height * width;
        Long* to = y.at<Long>(t, b) + m * rows * columns;
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t q = 0; q < columns; ++q) {
            Long most = INT64_MIN;
            for (int64_t i = 0; i < op.kernel[0]; ++i)
              for (int64_t j = 0; j < op.kernel[1]; ++j) {
                const int64_t u = r * op.stride[0] + i * op.dilation[0] - op.padding[0];
                const int64_t v = q * op.stride[1] + j * op.dilation[1] - op.padding[1];
                if (u >= 0 && v >= 0 && u < height && v < width) most = std::max(most, from[u * width + v]);
              }
            to[r * columns + q] = most;
          }
      }
}

// Writes x into y, `starts` further along each axis.
inline void plain_place(const Tensor& x, const Tensor& y, const Shape& starts) {
  int64_t first = 0;
  for (size_t axis = 0; axis < starts.size(); ++axis) first += starts[axis] * y.strides[axis];
  for (int64_t t = 0; t < y.steps; ++t)
    for (int64_t b = 0; b < y.batch; ++b) {
      const Long* from = x.at<Long>(t, b);
      Long* to = y.at<Long>(t, b) + first;
      for_each(x.shape, y.strides, [&](int64_t i, int64_t place) { to[place] = from[i]; });
    }
}

// Membranes at rest, or a sum of nothing, for `carried`.
inline Tensor at_rest(const Op& op, const Value& value, int64_t batch, Type type, const Shape& strides) {
  Tensor made = empty(type, 1, batch, value.shape, strides);
  const int64_t rest = op.kind == Kind::Neuron ? op.rest : 0;
  if (type == Type::i32) std::fill_n(made.at<int32_t>(0, 0), made.batch_stride * batch, static_cast<int32_t>(rest));
  else std::fill_n(made.at<Long>(0, 0), made.batch_stride * batch, rest);
  return made;
}

// `carried`, of 64 bits and row by row, is what a neuron or a sum over steps goes on from, where it does.
inline Tensor plain(const Op& op, const Value& value, const List<Tensor>& inputs, const Tensor* carried = nullptr) {
  List<Tensor> x;
  int64_t batch = 1;
  for (const Tensor& input : inputs) {
    x.push_back(in_rows(input, Type::i64));
    batch = input.batch;
  }
  Tensor y = rows64(value.steps, batch, value.shape);
  switch (op.kind) {
    case Kind::Conv2d: plain_conv(op, x[0], y); break;
    case Kind::Linear: plain_linear(op, x[0], y); break;
    case Kind::Embedding: plain_embedding(op, x[0], y); break;
    case Kind::Neuron: plain_neuron(op, x[0], y, carried); break;
    case Kind::Add: plain_pair(x[0], x[1], y, [](Long a, Long b) { return a + b; }); break;
    case Kind::Multiply: plain_pair(x[0], x[1], y, [](Long a, Long b) { return a * b; }); break;
    case Kind::MatMul: plain_product(x[0], x[1], y); break;
    case Kind::Sum: plain_sum(op, x[0], y); break;
    case Kind::SumSteps: plain_sum_steps(op, x[0], y, carried); break;
    case Kind::MaxPool2d: plain_max_pool(op, x[0], y); break;
    case Kind::Shift:
      for (int64_t t = 0; t < y.steps; ++t)
        for (int64_t b = 0; b < batch; ++b)
          for (int64_t i = 0; i < y.size(); ++i) y.at<Long>(t, b)[i] = shifted(x[0].at<Long>(t, b)[i], op.left);
      break;
    case Kind::Concat: {
      Shape starts(y.shape.size(), 0);
      for (const Tensor& part : x) {
        plain_place(part, y, starts);
        starts[op.axis] += part.shape[op.axis];
      }
      break;
    }
    case Kind::Pad: {
      std::fill(y.at<Long>(0, 0), y.at<Long>(0, 0) + y.size() * batch * y.steps, op.value);
      Shape starts;
      for (const auto& [before, after] : op.widths) starts.push_back(before);
      plain_place(x[0], y, starts);
      break;
    }
    default: break;
  }
  return arranged(y, type_for(value.low, value.high), y.strides);
}

}  // namespace spikedrive::engine
