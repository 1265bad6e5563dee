// Integer tensors (steps, batch, shape...) as strided views of shared memory.
#pragma once

#include <cstdint>
#include <memory>

#include "pool.hpp"
#include "program.hpp"

namespace spikedrive::engine {

// `bits`: a bit a channel, each position's rounded up to 16, of maps and matrices with channels side by side.
enum class Type : uint8_t { u8, i32, i64, bits };

inline int64_t width_of(Type type) { return type == Type::u8 ? 1 : type == Type::i32 ? 4 : 8; }

// The narrowest type that holds every integer in [low, high].
inline Type type_for(int64_t low, int64_t high) {
  if (low >= 0 && high <= 255) return Type::u8;
  return low >= INT32_MIN && high <= INT32_MAX ? Type::i32 : Type::i64;
}

// Memory whose reads may run up to 64 bytes past its end.
class Buffer {
 public:
  explicit Buffer(int64_t bytes, Pool& pool = Pool::scratch())
      : pool_(pool), bytes_((static_cast<size_t>(bytes) + 191) / 64 * 64), data_(pool.take(bytes_)) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  static void* operator new(size_t bytes) { return Again::take(bytes); }
  static void operator delete(void* memory, size_t bytes) { Again::give(memory, bytes); }
  ~Buffer() { pool_.give(data_, bytes_); }
  uint8_t* data() const { return data_; }
  template <class R>
  R* as() const {
    return reinterpret_cast<R*>(data_);
  }

 private:
  Pool& pool_;
  size_t bytes_;
  uint8_t* data_;
};

// Strides count elements. A step stride of 0 is a tensor that does not change over time.
struct Tensor {
  Type type = Type::u8;
  int64_t steps = 1, batch = 1, step_stride = 0, batch_stride = 0;
  Shape shape, strides;
  std::shared_ptr<Buffer> memory;
  int64_t offset = 0;
  // bytes of a position of bits
  int64_t position_bytes = 0;

  int64_t size() const {
    int64_t count = 1;
    for (const int64_t n : shape) count *= n;
    return count;
  }
  template <class R>
  R* at(int64_t t, int64_t b) const {
    return reinterpret_cast<R*>(memory->data()) + offset + (steps > 1 ? t * step_stride : 0) + b * batch_stride;
  }
};

inline int64_t bytes_of_bits(int64_t channels) { return (channels + 15) / 16 * 2; }

// The strides of a dense sample; `last` is the axis whose elements lie side by side, the others keep their order.
inline Shape dense_strides(const Shape& shape, int64_t last) {
  Shape strides(shape.size());
  int64_t stride = 1;
  if (!shape.empty()) {
    strides[last] = 1;
    stride = shape[last];
    for (int64_t axis = static_cast<int64_t>(shape.size()) - 1; axis >= 0; --axis)
      if (axis != last) {
        strides[axis] = stride;
        stride *= shape[axis];
      }
  }
  return strides;
}

inline Tensor empty(Type type, int64_t steps, int64_t batch, const Shape& shape, const Shape& strides) {
  Tensor made;
  made.type = type;
  made.steps = steps;
  made.batch = batch;
  made.shape = shape;
  made.strides = strides;
  made.batch_stride = made.size();
  made.step_stride = made.batch_stride * batch;
  made.memory = std::allocate_shared<Buffer>(Allocator<Buffer>(), made.step_stride * steps * width_of(type));
  return made;
}

// Bits for `positions` of so many channels; strides count bytes.
inline Tensor empty_bits(int64_t steps, int64_t batch, const Shape& shape, int64_t positions, int64_t channels) {
  Tensor made;
  made.type = Type::bits;
  made.steps = steps;
  made.batch = batch;
  made.shape = shape;
  made.position_bytes = bytes_of_bits(channels);
  made.batch_stride = positions * made.position_bytes;
  made.step_stride = made.batch_stride * batch;
  made.memory = std::allocate_shared<Buffer>(Allocator<Buffer>(), made.step_stride * steps);
  return made;
}

// Maps are held with their channels side by side, everything else row by row.
inline int64_t side_by_side(const Shape& shape) { return shape.size() == 3 ? 0 : static_cast<int64_t>(shape.size()) - 1; }

inline Tensor empty(Type type, int64_t steps, int64_t batch, const Shape& shape) {
  return empty(type, steps, batch, shape, dense_strides(shape, side_by_side(shape)));
}

// Whether the sample is dense in the order of `strides`.
inline bool lies_as(const Tensor& x, const Shape& strides) {
  for (size_t axis = 0; axis < strides.size(); ++axis)
    if (x.shape[axis] > 1 && x.strides[axis] != strides[axis]) return false;
  return true;
}

}  // namespace spikedrive::engine
