// Integer tensors (steps, batch, shape...) as strided views of shared memory.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>

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

// Blocks of memory that were given back, kept for the next who asks for as much: what the system maps anew it clears
// first, which costs more than most layers do.
class Pool {
 public:
  static Pool& shared() {
    static auto* pool = new Pool;
    return *pool;
  }
  uint8_t* take(size_t bytes) {
    {
      const std::lock_guard<std::mutex> hold(mutex_);
      const auto found = free_.lower_bound(bytes);
      // one much larger serves another better
      if (found != free_.end() && found->first <= bytes + bytes / 4) {
        uint8_t* const data = found->second;
        kept_ -= found->first;
        free_.erase(found);
        return data;
      }
    }
    const bool large = bytes >= page;
    auto* data = static_cast<uint8_t*>(std::aligned_alloc(large ? page : 64, bytes));
    if (!data) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    // pages of 4 KB cost a look-up of their address in every few hundred bytes of a walk over channels; where the system
    // has no large ones to give, these stay
    if (large) madvise(data, bytes, MADV_HUGEPAGE);
#endif
    return data;
  }
  void give(uint8_t* data, size_t bytes) {
    const std::lock_guard<std::mutex> hold(mutex_);
    if (kept_ + bytes > most) return std::free(data);
    kept_ += bytes;
    free_.emplace(bytes, data);
  }

 private:
  static constexpr size_t most = size_t{256} << 20, page = size_t{2} << 20;
  std::mutex mutex_;
  std::multimap<size_t, uint8_t*> free_;
  size_t kept_ = 0;
};

// Memory whose reads may run up to 64 bytes past its end.
class Buffer {
 public:
  explicit Buffer(int64_t bytes) : bytes_(size_class(static_cast<size_t>(bytes) + 128)), data_(Pool::shared().take(bytes_)) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { Pool::shared().give(data_, bytes_); }
  uint8_t* data() const { return data_; }
  template <class R>
  R* as() const {
    return reinterpret_cast<R*>(data_);
  }

 private:
  // the next of sizes that are an eighth apart, so that what is given back serves what is nearly as large
  static size_t size_class(size_t bytes) {
    size_t unit = 64;
    while (unit * 16 < bytes) unit *= 2;
    return (bytes + unit - 1) / unit * unit;
  }

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
  made.memory = std::make_shared<Buffer>(made.step_stride * steps * width_of(type));
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
  made.memory = std::make_shared<Buffer>(made.step_stride * steps);
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
