// One number at a time: the readable twin of the vector lanes, and what handles the tail of every row.
//
// Each `lanes` struct gives the same functions over `width` numbers. The kernels are written against them
// once; since no compiler may contract a product and a sum (-ffp-contract=off), every width gives the same
// bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

// a bfloat16 in memory: the upper half of a float
struct Bf16 {
  uint16_t bits;
};

inline float widen(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float y;
  std::memcpy(&y, &bits, sizeof y);
  return y;
}

// round to nearest, ties to even; a NaN stays one and keeps its sign
inline Bf16 narrow(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// a float16 in memory: one bit of sign, five of exponent, ten of fraction
struct F16 {
  uint16_t bits;
};

inline float widen(F16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16, rest = x.bits & 0x7fffu;
  uint32_t bits;
  if (rest >= 0x7c00u) {
    bits = (rest << 13) + ((255u - 31u) << 23);  // infinity or NaN
  } else if (rest >= 0x400u) {
    bits = (rest << 13) + ((127u - 15u) << 23);
  } else {
    const float small = static_cast<float>(rest) * 0x1p-24f;
    std::memcpy(&bits, &small, sizeof bits);
  }
  bits |= sign;
  float y;
  std::memcpy(&y, &bits, sizeof y);
  return y;
}

// round to nearest, ties to even, as the processors' own instruction does
inline F16 narrow_to_f16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  uint32_t half;
  if (bits > 0x7f800000u) {
    half = 0x7e00u | ((bits >> 13) & 0x3ffu);
  } else if (bits >= 0x477ff000u) {
    half = 0x7c00u;  // 65520 and beyond
  } else if (bits >= 0x38800000u) {
    half = (bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1u)) >> 13;
  } else {
    // adding the number whose last bit counts 2^-24 rounds
    float size;
    std::memcpy(&size, &bits, sizeof size);
    size += 0.5f;
    std::memcpy(&half, &size, sizeof half);
    half -= 0x3f000000u;
  }
  return {static_cast<uint16_t>(sign | half)};
}

template <class R>
struct ScalarLanes {
  using Real = R;
  using Float = R;
  using Mask = bool;
  static constexpr int64_t width = 1;

  static Float set(double x) { return static_cast<R>(x); }
  static Float load(const R* p) { return *p; }
  static void store(R* p, Float x) { *p = x; }
  static Float load(const Bf16* p) { return static_cast<R>(widen(*p)); }
  static void store(Bf16* p, Float x) { *p = narrow(static_cast<float>(x)); }
  static Float load(const F16* p) { return static_cast<R>(widen(*p)); }
  static void store(F16* p, Float x) { *p = narrow_to_f16(static_cast<float>(x)); }

  static Float add(Float a, Float b) { return a + b; }
  static Float sub(Float a, Float b) { return a - b; }
  static Float mul(Float a, Float b) { return a * b; }
  static Float div(Float a, Float b) { return a / b; }
  static Float abs(Float a) { return std::fabs(a); }
  // like the vector instructions: the second where either is NaN
  static Float min(Float a, Float b) { return a < b ? a : b; }
  static Float max(Float a, Float b) { return a > b ? a : b; }
  static Float floor(Float a) { return std::floor(a); }
  static Float round_even(Float a) { return std::nearbyint(a); }
  // a times 2 to the whole number n
  static Float scale(Float a, Float n) { return std::ldexp(a, static_cast<int>(n)); }

  static Mask ge(Float a, Float b) { return a >= b; }
  static Mask gt(Float a, Float b) { return a > b; }
  static Mask both(Mask a, Mask b) { return a && b; }
  static Mask either(Mask a, Mask b) { return a || b; }
  static Mask no(Mask a) { return !a; }
  static Mask all(bool a) { return a; }
  static Float select(Mask m, Float yes, Float no) { return m ? yes : no; }
  static Float keep(Mask m, Float yes) { return m ? yes : R(0); }

  static Mask positive(Float a) { return !std::signbit(a); }
  static Float with_sign(Float a, Mask positive) {
    return std::copysign(a, positive ? R(1) : R(-1));
  }

  // bit i of a row, the lowest bit of a byte first; a byte is begun where i is a multiple of 8
  static Mask load_bits(const uint8_t* row, int64_t i) { return (row[i >> 3] >> (i & 7)) & 1; }
  static void store_bits(uint8_t* row, int64_t i, Mask m) {
    const uint8_t bit = static_cast<uint8_t>(m) << (i & 7);
    row[i >> 3] = (i & 7) ? static_cast<uint8_t>(row[i >> 3] | bit) : bit;
  }

  static double sum(Float a) { return a; }
  template <class Fn>
  static Float each(Fn fn, Float a) {
    return static_cast<R>(fn(static_cast<double>(a)));
  }
};

}  // namespace
