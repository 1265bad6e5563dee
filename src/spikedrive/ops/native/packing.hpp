// Small whole numbers as one or four bits an element, the lowest bits of a byte first.
#pragma once

#include <type_traits>

#include "lanes/scalar.hpp"

namespace {

template <class In>
using LaneOf = ScalarLanes<std::conditional_t<sizeof(In) == sizeof(double), double, float>>;

// Packs eight numbers at a time; false where one of them is no whole number from 0 to 2^bits - 1.
template <class In>
bool pack(const In* values, int64_t count, uint8_t* packed, int bits) {
  const int top = (1 << bits) - 1, each = 8 / bits;
  for (int64_t begin = 0; begin < count; begin += 1024) {
    const int64_t end = begin + 1024 < count ? begin + 1024 : count;
    bool whole = true;
    for (int64_t i = begin; i < end; i += each) {
      unsigned byte = 0;
      for (int k = 0; k < each && i + k < end; ++k) {
        const double x = LaneOf<In>::load(values + i + k);
        const int n = x >= 0 && x <= top ? static_cast<int>(x) : -1;
        // minus zero would come back as zero
        whole &= n == x && !std::signbit(x);
        byte |= static_cast<unsigned>(n & top) << (k * bits);
      }
      packed[i / each] = static_cast<uint8_t>(byte);
    }
    if (!whole) return false;
  }
  return true;
}

template <class Out>
void unpack(const uint8_t* packed, int64_t count, Out* values, int bits) {
  const int top = (1 << bits) - 1, each = 8 / bits;
  for (int64_t i = 0; i < count; ++i)
    LaneOf<Out>::store(values + i, LaneOf<Out>::set((packed[i / each] >> (i % each * bits)) & top));
}

}  // namespace
