// Eight floats at a time in two registers: NEON, which every 64-bit ARM processor has. Bits come in bytes of eight.
#pragma once

#include <arm_neon.h>

#include "scalar.hpp"

namespace {

struct NeonLanes {
  using Real = float;
  struct Float {
    float32x4_t low, high;
  };
  // all bits of a lane set, or none
  struct Mask {
    uint32x4_t low, high;
  };
  static constexpr int64_t width = 8;

  static Float set(double x) { return {vdupq_n_f32(static_cast<float>(x)), vdupq_n_f32(static_cast<float>(x))}; }
  static Float load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
  static void store(float* p, Float x) {
    vst1q_f32(p, x.low);
    vst1q_f32(p + 4, x.high);
  }
  static Float load(const Bf16* p) {
    const uint16x8_t halves = vld1q_u16(&p->bits);
    return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(halves), 16)),
            vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(halves), 16))};
  }
  static void store(Bf16* p, Float x) { vst1q_u16(&p->bits, vcombine_u16(narrowed(x.low), narrowed(x.high))); }
  static Float load(const F16* p) {
    const float16x8_t halves = vreinterpretq_f16_u16(vld1q_u16(&p->bits));
    return {vcvt_f32_f16(vget_low_f16(halves)), vcvt_f32_f16(vget_high_f16(halves))};
  }
  static void store(F16* p, Float x) {
    const float16x8_t halves = vcombine_f16(vcvt_f16_f32(x.low), vcvt_f16_f32(x.high));
    vst1q_u16(&p->bits, vreinterpretq_u16_f16(halves));
  }

  static Float add(Float a, Float b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
  static Float sub(Float a, Float b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
  static Float mul(Float a, Float b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
  static Float div(Float a, Float b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
  static Float abs(Float a) { return {vabsq_f32(a.low), vabsq_f32(a.high)}; }
  // NEON's own minimum and maximum give NaN where either is one
  static Float min(Float a, Float b) { return select(gt(b, a), a, b); }
  static Float max(Float a, Float b) { return select(gt(a, b), a, b); }
  static Float floor(Float a) { return {vrndmq_f32(a.low), vrndmq_f32(a.high)}; }
  static Float round_even(Float a) { return {vrndnq_f32(a.low), vrndnq_f32(a.high)}; }
  static Float scale(Float a, Float n) {
    return {vmulq_f32(a.low, two_to_the(n.low)), vmulq_f32(a.high, two_to_the(n.high))};
  }

  static Mask ge(Float a, Float b) { return {vcgeq_f32(a.low, b.low), vcgeq_f32(a.high, b.high)}; }
  static Mask gt(Float a, Float b) { return {vcgtq_f32(a.low, b.low), vcgtq_f32(a.high, b.high)}; }
  static Mask both(Mask a, Mask b) { return {vandq_u32(a.low, b.low), vandq_u32(a.high, b.high)}; }
  static Mask either(Mask a, Mask b) { return {vorrq_u32(a.low, b.low), vorrq_u32(a.high, b.high)}; }
  static Mask no(Mask a) { return {vmvnq_u32(a.low), vmvnq_u32(a.high)}; }
  static Mask all(bool a) { return {vdupq_n_u32(a ? ~0u : 0u), vdupq_n_u32(a ? ~0u : 0u)}; }
  static Float select(Mask m, Float yes, Float no) {
    return {vbslq_f32(m.low, yes.low, no.low), vbslq_f32(m.high, yes.high, no.high)};
  }
  static Float keep(Mask m, Float yes) { return select(m, yes, set(0)); }

  static Mask positive(Float a) {
    return {vcgezq_s32(vreinterpretq_s32_f32(a.low)), vcgezq_s32(vreinterpretq_s32_f32(a.high))};
  }
  static Float with_sign(Float a, Mask positive) {
    const Float size = abs(a), minus{vnegq_f32(size.low), vnegq_f32(size.high)};
    return select(positive, size, minus);
  }

  static Mask load_bits(const uint8_t* row, int64_t i) {
    const uint32x4_t byte = vdupq_n_u32(row[i >> 3]);
    return {vtstq_u32(byte, bits_of(1)), vtstq_u32(byte, bits_of(16))};
  }
  static void store_bits(uint8_t* row, int64_t i, Mask m) {
    const uint32x4_t set = vorrq_u32(vandq_u32(m.low, bits_of(1)), vandq_u32(m.high, bits_of(16)));
    row[i >> 3] = static_cast<uint8_t>(vaddvq_u32(set));
  }

  static double sum(Float a) {
    float all[8];
    store(all, a);
    double total = 0;
    for (float x : all) total += x;
    return total;
  }
  template <class Fn>
  static Float each(Fn fn, Float a) {
    float all[8];
    store(all, a);
    for (float& x : all) x = static_cast<float>(fn(static_cast<double>(x)));
    return load(all);
  }

 private:
  // four bits one after the other, from `first` on
  static uint32x4_t bits_of(uint32_t first) {
    const uint32_t bits[] = {first, 2 * first, 4 * first, 8 * first};
    return vld1q_u32(bits);
  }
  static uint16x4_t narrowed(float32x4_t x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x), upper = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(upper, vdupq_n_u32(1));
    const uint32x4_t up = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    const uint32x4_t quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
    return vmovn_u32(vbslq_u32(vceqq_f32(x, x), vshrq_n_u32(up, 16), quiet));
  }
  static float32x4_t two_to_the(float32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
  }
};

}  // namespace
