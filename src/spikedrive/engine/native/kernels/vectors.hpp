// The vectors of an instruction set, by the compiler's own vector types, and the one operation that these lack.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

#if SPIKEDRIVE_RUN_LEVEL >= 2
constexpr int vector_bytes = 64;
#elif SPIKEDRIVE_RUN_LEVEL == 1
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

using Bytes = int8_t __attribute__((vector_size(vector_bytes)));
using UnsignedBytes = uint8_t __attribute__((vector_size(vector_bytes)));
using HalfBytes = uint8_t __attribute__((vector_size(vector_bytes / 2)));
using Words = uint16_t __attribute__((vector_size(vector_bytes)));
using SignedWords = int16_t __attribute__((vector_size(vector_bytes)));
using Quads = int32_t __attribute__((vector_size(vector_bytes)));
// as many 32-bit numbers as a vector has words
using Wide = int32_t __attribute__((vector_size(2 * vector_bytes)));
// 32-bit numbers of one vector, and as many of 16 bits
using Lanes = int32_t __attribute__((vector_size(vector_bytes)));
using HalfWords = uint16_t __attribute__((vector_size(vector_bytes / 2)));
constexpr int64_t lanes = vector_bytes / 4, words_of_vector = vector_bytes / 2;
using EightWords = uint16_t __attribute__((vector_size(16)));
using EightInts = uint32_t __attribute__((vector_size(32)));

// vectors of 32-bit sums in a group of 64 outputs, and in 16
constexpr int quads_of_group = 256 / vector_bytes, quads_of_16 = 64 / vector_bytes;
// columns whose sums stay in registers together
constexpr int dense_columns = vector_bytes == 64 ? 6 : 1;

template <class V, class R>
inline __attribute__((always_inline)) V load(const R* p) {
  V x;
  std::memcpy(&x, p, sizeof(V));
  return x;
}

template <class V, class R>
inline __attribute__((always_inline)) void store(R* p, V x) {
  std::memcpy(p, &x, sizeof(V));
}

// As words; the compiler's own conversion shuffles more than it has to.
inline __attribute__((always_inline)) SignedWords widened(HalfBytes x) {
#if SPIKEDRIVE_RUN_LEVEL >= 2
  return (SignedWords)_mm512_cvtepu8_epi16((__m256i)x);
#elif SPIKEDRIVE_RUN_LEVEL == 1
  return (SignedWords)_mm256_cvtepu8_epi16((__m128i)x);
#else
  return __builtin_convertvector(x, SignedWords);
#endif
}

inline __attribute__((always_inline)) Lanes signed_lanes(HalfWords x) {
#if SPIKEDRIVE_RUN_LEVEL >= 2
  return (Lanes)_mm512_cvtepi16_epi32((__m256i)x);
#elif SPIKEDRIVE_RUN_LEVEL == 1
  return (Lanes)_mm256_cvtepi16_epi32((__m128i)x);
#else
  using Signed = int16_t __attribute__((vector_size(vector_bytes / 2)));
  return __builtin_convertvector((Signed)x, Lanes);
#endif
}

// The lowest byte of each lane.
inline __attribute__((always_inline)) void store_bytes(uint8_t* to, Lanes x) {
#if SPIKEDRIVE_RUN_LEVEL >= 2
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8((__m512i)x));
#else
  using LaneBytes = uint8_t __attribute__((vector_size(vector_bytes / 4)));
  store(to, __builtin_convertvector(x, LaneBytes));
#endif
}

// Which lanes fired, and what becomes of numbers there.
#if SPIKEDRIVE_RUN_LEVEL >= 2
using Fired = __mmask16;
inline __attribute__((always_inline)) Fired at_least(Lanes x, Lanes threshold) { return _mm512_cmpge_epi32_mask((__m512i)x, (__m512i)threshold); }
inline __attribute__((always_inline)) Lanes lower_where(Fired fired, Lanes x, Lanes by) {
  return (Lanes)_mm512_mask_sub_epi32((__m512i)x, fired, (__m512i)x, (__m512i)by);
}
inline __attribute__((always_inline)) Lanes put_where(Fired fired, Lanes x, Lanes y) {
  return (Lanes)_mm512_mask_mov_epi32((__m512i)x, fired, (__m512i)y);
}
inline __attribute__((always_inline)) uint64_t lane_bits(Fired fired) { return fired; }
#else
// all ones, which is -1, where it fired
using Fired = Lanes;
inline __attribute__((always_inline)) Fired at_least(Lanes x, Lanes threshold) { return x >= threshold; }
inline __attribute__((always_inline)) Lanes lower_where(Fired fired, Lanes x, Lanes by) { return x - (fired & by); }
inline __attribute__((always_inline)) Lanes put_where(Fired fired, Lanes x, Lanes y) { return fired ? y : x; }
#if SPIKEDRIVE_RUN_LEVEL == 1
inline __attribute__((always_inline)) uint64_t lane_bits(Fired fired) { return static_cast<uint32_t>(_mm256_movemask_ps((__m256)fired)); }
#else
inline uint64_t lane_bits(Fired fired) {
  uint64_t bits = 0;
  for (int i = 0; i < lanes; ++i) bits |= (static_cast<uint64_t>(fired[i]) & 1) << i;
  return bits;
}
#endif
#endif

// Bytes 0 and 1 of up to 16 bits, the lowest first.
inline __attribute__((always_inline)) void expand(int64_t count, uint32_t bits, uint8_t* y) {
#if SPIKEDRIVE_RUN_LEVEL >= 2
  _mm_mask_storeu_epi8(y, static_cast<__mmask16>((1u << count) - 1), _mm_maskz_set1_epi8(static_cast<__mmask16>(bits), 1));
#else
  // eight bits to eight bytes: each byte picks its own bit of eight copies
  uint64_t eight[2];
  for (int half = 0; half < 2; ++half) {
    const uint64_t copies = (bits >> (8 * half) & 255) * 0x0101010101010101u;
    eight[half] = ((copies & 0x8040201008040201u) + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u;
  }
  std::memcpy(y, eight, static_cast<size_t>(count));
#endif
}

// Which words a vector of bytes 0 and 1 selects.
#if SPIKEDRIVE_RUN_LEVEL >= 2
using Selection = __mmask32;
inline __attribute__((always_inline)) Selection selection(HalfBytes x) { return _mm256_test_epi8_mask((__m256i)x, (__m256i)x); }
#else
using Selection = SignedWords;
inline __attribute__((always_inline)) Selection selection(HalfBytes x) { return -widened(x); }
#endif

// sum + w where selected.
inline __attribute__((always_inline)) SignedWords selected(SignedWords sum, Selection x, SignedWords w) {
#if SPIKEDRIVE_RUN_LEVEL >= 2
  return (SignedWords)_mm512_mask_add_epi16((__m512i)sum, x, (__m512i)sum, (__m512i)w);
#else
  return sum + (x & w);
#endif
}

// sum[k] += a[0] w[4 k] + ... + a[3] w[4 k + 3], the four bytes of `a` without sign; no step of it rounds or saturates.
inline __attribute__((always_inline)) Quads dot(Quads sum, int32_t a, Bytes w) {
#if SPIKEDRIVE_RUN_LEVEL == 3
  return (Quads)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(a), (__m512i)w);
#elif SPIKEDRIVE_RUN_LEVEL == 2
  // even and odd bytes as words: pairs of products of 8-bit numbers fit 32 bits
  const __m512i x = _mm512_set1_epi32(a), low = _mm512_set1_epi16(255);
  const __m512i even = _mm512_madd_epi16(_mm512_and_si512(x, low), _mm512_srai_epi16(_mm512_slli_epi16((__m512i)w, 8), 8));
  const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(x, 8), _mm512_srai_epi16((__m512i)w, 8));
  return (Quads)_mm512_add_epi32((__m512i)sum, _mm512_add_epi32(even, odd));
#elif SPIKEDRIVE_RUN_LEVEL == 1
  const __m256i x = _mm256_set1_epi32(a), low = _mm256_set1_epi16(255);
  const __m256i even = _mm256_madd_epi16(_mm256_and_si256(x, low), _mm256_srai_epi16(_mm256_slli_epi16((__m256i)w, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16((__m256i)w, 8));
  return (Quads)_mm256_add_epi32((__m256i)sum, _mm256_add_epi32(even, odd));
#else
  uint8_t four[4];
  std::memcpy(four, &a, 4);
  for (int k = 0; k < vector_bytes / 4; ++k)
    for (int j = 0; j < 4; ++j) sum[k] += four[j] * w[4 * k + j];
  return sum;
#endif
}

}  // namespace
