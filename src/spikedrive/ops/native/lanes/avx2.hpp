// Eight floats at a time: AVX2 and F16C.
#pragma once

#include <immintrin.h>

#include "scalar.hpp"

namespace {

struct Avx2Lanes {
  using Real = float;
  using Float = __m256;
  // all bits of a lane set, or none
  using Mask = __m256;
  static constexpr int64_t width = 8;

  static Float set(double x) { return _mm256_set1_ps(static_cast<float>(x)); }
  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Float x) { _mm256_storeu_ps(p, x); }
  static Float load(const Bf16* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  static void store(Bf16* p, Float x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i rounded = _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), quiet, nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
  }
  static Float load(const F16* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void store(F16* p, Float x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float abs(Float a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float floor(Float a) { return _mm256_floor_ps(a); }
  static Float round_even(Float a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Float scale(Float a, Float n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }

  static Mask ge(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
  static Mask gt(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
  static Mask both(Mask a, Mask b) { return _mm256_and_ps(a, b); }
  static Mask either(Mask a, Mask b) { return _mm256_or_ps(a, b); }
  static Mask no(Mask a) { return _mm256_xor_ps(a, all(true)); }
  static Mask all(bool a) { return _mm256_castsi256_ps(_mm256_set1_epi32(a ? -1 : 0)); }
  static Float select(Mask m, Float yes, Float no) { return _mm256_blendv_ps(no, yes, m); }
  static Float keep(Mask m, Float yes) { return _mm256_and_ps(m, yes); }

  static Mask positive(Float a) {
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_castps_si256(a), _mm256_set1_epi32(-1)));
  }
  static Float with_sign(Float a, Mask positive) {
    return _mm256_or_ps(abs(a), _mm256_andnot_ps(positive, _mm256_set1_ps(-0.0f)));
  }

  static Mask load_bits(const uint8_t* row, int64_t i) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i byte = _mm256_set1_epi32(row[i >> 3]);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(byte, bit), bit));
  }
  static void store_bits(uint8_t* row, int64_t i, Mask m) {
    row[i >> 3] = static_cast<uint8_t>(_mm256_movemask_ps(m));
  }

  static double sum(Float a) {
    alignas(32) float all[8];
    _mm256_store_ps(all, a);
    double total = 0;
    for (float x : all) total += x;
    return total;
  }
  template <class Fn>
  static Float each(Fn fn, Float a) {
    alignas(32) float all[8];
    _mm256_store_ps(all, a);
    for (float& x : all) x = static_cast<float>(fn(static_cast<double>(x)));
    return _mm256_load_ps(all);
  }
};

}  // namespace
