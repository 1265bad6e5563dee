// Sixteen floats at a time: AVX-512 (F, BW, VL, DQ).
#pragma once

#include <immintrin.h>

#include "scalar.hpp"

namespace {

struct Avx512Lanes {
  using Real = float;
  using Float = __m512;
  using Mask = __mmask16;
  static constexpr int64_t width = 16;

  static Float set(double x) { return _mm512_set1_ps(static_cast<float>(x)); }
  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Float x) { _mm512_storeu_ps(p, x); }
  static Float load(const Bf16* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  static void store(Bf16* p, Float x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i upper = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i rounded = _mm512_mask_or_epi32(_mm512_srli_epi32(up, 16), nan, upper, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
  }
  static Float load(const F16* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store(F16* p, Float x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  static Float abs(Float a) { return _mm512_abs_ps(a); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float floor(Float a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
  static Float round_even(Float a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Float scale(Float a, Float n) { return _mm512_scalef_ps(a, n); }

  static Mask ge(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
  static Mask gt(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
  static Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
  static Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
  static Mask no(Mask a) { return static_cast<Mask>(~a); }
  static Mask all(bool a) { return a ? 0xffff : 0; }
  static Float select(Mask m, Float yes, Float no) { return _mm512_mask_blend_ps(m, no, yes); }
  static Float keep(Mask m, Float yes) { return _mm512_maskz_mov_ps(m, yes); }

  static Mask positive(Float a) { return no(_mm512_movepi32_mask(_mm512_castps_si512(a))); }
  static Float with_sign(Float a, Mask positive) {
    const __m512 size = _mm512_abs_ps(a);
    return _mm512_mask_or_ps(size, no(positive), size, _mm512_set1_ps(-0.0f));
  }

  static Mask load_bits(const uint8_t* row, int64_t i) {
    Mask m;
    std::memcpy(&m, row + (i >> 3), sizeof m);
    return m;
  }
  static void store_bits(uint8_t* row, int64_t i, Mask m) { std::memcpy(row + (i >> 3), &m, sizeof m); }

  static double sum(Float a) { return _mm512_reduce_add_ps(a); }
  template <class Fn>
  static Float each(Fn fn, Float a) {
    alignas(64) float all[16];
    _mm512_store_ps(all, a);
    for (float& x : all) x = static_cast<float>(fn(static_cast<double>(x)));
    return _mm512_load_ps(all);
  }
};

}  // namespace
