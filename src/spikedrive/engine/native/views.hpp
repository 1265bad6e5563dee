// Views of tensors in other shapes, and copies into other layouts.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>

#include "tensor.hpp"

namespace spikedrive::engine {

// Calls `element(t, b, place)` for each element of a strided sample in the order of its shape.
template <class Element>
void for_each(const Shape& shape, const Shape& strides, const Element& element) {
  int64_t count = 1;
  for (const int64_t n : shape) count *= n;
  Shape index(shape.size(), 0);
  int64_t place = 0;
  for (int64_t k = 0; k < count; ++k) {
    element(k, place);
    for (int64_t axis = static_cast<int64_t>(shape.size()) - 1; axis >= 0; --axis) {
      place += strides[axis];
      if (++index[axis] < shape[axis]) break;
      place -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

template <class From, class To>
void copy_elements(const Tensor& x, const Tensor& y) {
  // runs of the last axis in one loop; what is left of the shape element by element
  const size_t rank = x.shape.size();
  size_t inner = rank;
  for (size_t axis = 0; axis < rank; ++axis)
    if (x.shape[axis] > 1 && y.strides[axis] == 1) inner = axis;
  Shape shape = x.shape, from = x.strides, to = y.strides;
  const int64_t run = inner < rank ? shape[inner] : 1, skip = inner < rank ? from[inner] : 0;
  if (inner < rank) shape[inner] = 1;
  List<int64_t> places;
  for_each(shape, to, [&](int64_t, int64_t place) { places.push_back(place); });
  for (int64_t t = 0; t < x.steps; ++t)
    for (int64_t b = 0; b < x.batch; ++b) {
      const From* source = x.at<From>(t, b);
      To* target = y.at<To>(t, b);
      for_each(shape, from, [&](int64_t k, int64_t place) {
        for (int64_t i = 0; i < run; ++i) target[places[k] + i] = static_cast<To>(source[place + i * skip]);
      });
    }
}

template <class Work>
void with_type(Type type, const Work& work) {
  if (type == Type::u8) work(uint8_t{});
  else if (type == Type::i32) work(int32_t{});
  else work(int64_t{});
}

// The same integers as `type`, dense in the order of `strides`; itself where it is so already.
inline Tensor arranged(const Tensor& x, Type type, const Shape& strides) {
  const int64_t size = x.size();
  const bool dense = x.batch_stride == size && (x.steps == 1 || x.step_stride == size * x.batch);
  if (x.type == type && lies_as(x, strides) && dense) return x;
  Tensor made = empty(type, x.steps, x.batch, x.shape, strides);
  with_type(x.type, [&](auto from) { with_type(type, [&](auto to) { copy_elements<decltype(from), decltype(to)>(x, made); }); });
  return made;
}

inline Tensor in_rows(const Tensor& x, Type type) {
  return arranged(x, type, dense_strides(x.shape, static_cast<int64_t>(x.shape.size()) - 1));
}

// The strides under which the same elements have the shape `next`, row by row, if any do: axes that lie in one another
// form a run, and each run is cut into axes of `next` from its end.
inline std::optional<Shape> restrided(const Tensor& x, const Shape& next) {
  Shape strides(next.size(), 1);
  auto cut = static_cast<int64_t>(next.size()) - 1;
  int64_t run = 1, unit = 1;
  bool open = false;
  for (auto axis = static_cast<int64_t>(x.shape.size()) - 1; axis >= 0; --axis) {
    if (x.shape[axis] == 1) continue;
    if (!open) unit = x.strides[axis], run = 1;
    run *= x.shape[axis];
    int64_t outer = axis - 1;
    while (outer >= 0 && x.shape[outer] == 1) --outer;
    open = outer >= 0 && x.strides[outer] == run * unit;
    if (open) continue;
    int64_t covered = 1;
    for (; cut >= 0 && covered < run; --cut) {
      strides[cut] = unit * covered;
      covered *= next[cut];
    }
    if (covered != run) return std::nullopt;
  }
  return strides;
}

inline Tensor reshaped(const Tensor& x, const Shape& shape) {
  Tensor made = x;
  const std::optional<Shape> strides = restrided(x, shape);
  if (strides) made.strides = *strides;
  else {
    made = in_rows(x, x.type);
    made.strides = dense_strides(shape, static_cast<int64_t>(shape.size()) - 1);
  }
  made.shape = shape;
  return made;
}

inline Tensor permuted(const Tensor& x, const Shape& axes) {
  Tensor made = x;
  for (size_t i = 0; i < axes.size(); ++i) {
    made.shape[i] = x.shape[axes[i]];
    made.strides[i] = x.strides[axes[i]];
  }
  return made;
}

inline Tensor sliced(const Tensor& x, int64_t axis, int64_t start, int64_t stop) {
  Tensor made = x;
  made.offset += start * x.strides[axis];
  made.shape[axis] = stop - start;
  return made;
}

}  // namespace spikedrive::engine
