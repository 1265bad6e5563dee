// Neurons, and what else is done element by element; the loops are simple enough for the compiler's vectors.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// elements whose membranes and charges stay in the first cache
constexpr int64_t part = 512;

// x << n of numbers that fit, negative ones too
template <class R>
inline R shifted(R x, int n) {
  return static_cast<R>(static_cast<std::make_unsigned_t<R>>(x) << n);
}

// Any neuron, in loops that each do one thing.
template <class R>
void fire_part(const Fire& p, int64_t count, const int32_t* __restrict x, R* __restrict v, uint8_t* __restrict y) {
  R h[part];
  int32_t fired[part];
  const auto threshold = static_cast<R>(p.threshold), rest = static_cast<R>(p.rest);
  const R back = rest - (rest >> p.decay);
  const int decay = p.decay, fraction = p.fraction;
  if (!p.carry) std::fill(v, v + count, rest);
  std::fill(y, y + count, uint8_t{0});
  for (int r = 0; r < p.repeats; ++r) {
    for (int64_t i = 0; i < count; ++i) {
      R charge = shifted<R>(x[i], fraction);
      if (p.decay_input) charge -= charge >> decay;
      h[i] = (v[i] >> decay) + back + charge;
      fired[i] = 0;
    }
    for (int64_t k = 0; k < p.rungs; ++k) {
      const auto rung = static_cast<R>(p.ladder[k]);
      for (int64_t i = 0; i < count; ++i) fired[i] += h[i] >= rung;
    }
    if (p.hard)
      for (int64_t i = 0; i < count; ++i) v[i] = fired[i] > 0 ? rest : h[i];
    else
      for (int64_t i = 0; i < count; ++i) v[i] = h[i] - threshold * fired[i];
    for (int64_t i = 0; i < count; ++i) y[i] = static_cast<uint8_t>(y[i] + fired[i]);
  }
}

// The usual neuron; `charge(i)` is what comes in.
template <bool hard, class R, class Charge>
inline __attribute__((always_inline)) void fire_usual(const Fire& p, int64_t count, const Charge& charge, R* __restrict v,
                                                      uint8_t* __restrict y) {
  const auto threshold = static_cast<R>(p.threshold), rest = static_cast<R>(p.rest), rung = static_cast<R>(p.ladder[0]);
  const R back = rest - (rest >> p.decay);
  const int decay = p.decay, fraction = p.fraction;
  for (int64_t i = 0; i < count; ++i) {
    const R h = (v[i] >> decay) + back + shifted<R>(charge(i), fraction);
    const bool fired = h >= rung;
    v[i] = fired ? (hard ? rest : h - threshold) : h;
    y[i] = fired;
  }
}

template <bool hard, class R>
void fire_once(const Fire& p, int64_t count, const int32_t* __restrict x, R* __restrict v, uint8_t* __restrict y) {
  fire_usual<hard>(p, count, [&](int64_t i) { return x[i]; }, v, y);
}

template <bool hard, class R>
void finish_and_fire_as(const Finish& p, const Fire& neuron, R* __restrict v, uint8_t* __restrict y) {
  for (int64_t x = 0; x < p.columns; ++x) {
    const int32_t *__restrict from = p.sums + x * p.padded, *__restrict bias = p.bias + x * p.bias_step;
    const int32_t* __restrict shift = p.shift;
    const auto charge = [&](int64_t k) { return shifted(from[k], shift[k]) + bias[k]; };
    fire_usual<hard>(neuron, p.outputs, charge, v + x * p.outputs, y + x * p.outputs);
  }
}

void finish_and_fire(const Finish& p, const Fire& neuron, void* v, uint8_t* y) {
  const auto as = [&](auto* membranes) {
    neuron.hard ? finish_and_fire_as<true>(p, neuron, membranes, y) : finish_and_fire_as<false>(p, neuron, membranes, y);
  };
  if (neuron.wide) as(static_cast<int64_t*>(v));
  else as(static_cast<int32_t*>(v));
}

template <class R>
void fire_as(const Fire& p, int64_t count, const int32_t* x, R* v, uint8_t* y) {
  if (is_usual(p)) return p.hard ? fire_once<true>(p, count, x, v, y) : fire_once<false>(p, count, x, v, y);
  for (int64_t i = 0; i < count; i += part) fire_part(p, std::min(part, count - i), x + i, v + i, y + i);
}

void fire(const Fire& p, int64_t count, const int32_t* x, void* v, uint8_t* y) {
  if (p.wide) fire_as(p, count, x, static_cast<int64_t*>(v), y);
  else fire_as(p, count, x, static_cast<int32_t*>(v), y);
}

void rest(const Fire& p, int64_t count, void* v) {
  if (p.wide) std::fill_n(static_cast<int64_t*>(v), count, p.rest);
  else std::fill_n(static_cast<int32_t*>(v), count, static_cast<int32_t>(p.rest));
}

void finish(const Finish& p, int32_t* y) {
  for (int64_t x = 0; x < p.columns; ++x) {
    const int32_t *__restrict from = p.sums + x * p.padded, *__restrict bias = p.bias + x * p.bias_step;
    int32_t* __restrict to = y + x * p.outputs;
    for (int64_t k = 0; k < p.outputs; ++k) to[k] = shifted(from[k], p.shift[k]) + bias[k];
  }
}

void add(int64_t count, const int32_t* a, const int32_t* b, int32_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = a[i] + b[i];
}

void shift(int64_t count, const int32_t* x, int left, int32_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = shifted(x[i], left);
}

void widen(int64_t count, const uint8_t* x, int32_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i];
}

int64_t sum(int64_t count, const uint8_t* x) {
  int64_t total = 0;
  for (int64_t i = 0; i < count; i += part) {
    uint32_t sum = 0;
    for (int64_t k = i; k < std::min(i + part, count); ++k) sum += x[k];
    total += sum;
  }
  return total;
}

int64_t list(int64_t count, const uint8_t* x, uint32_t first, uint32_t* places) {
  uint32_t* next = places;
  const auto take = [&](int64_t i) {
    for (uint8_t n = x[i]; n; --n) *next++ = first + static_cast<uint32_t>(i);
  };
  int64_t i = 0;
#if SPIKEDRIVE_RUN_LEVEL >= 2
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (; i < count; i += 64) {
    const __mmask64 inside = count - i < 64 ? (uint64_t{1} << (count - i)) - 1 : ~uint64_t{0};
    const __m512i bytes = _mm512_maskz_loadu_epi8(inside, x + i);
    // all that fired, then all that fired twice, and so on
    __mmask64 fired = _mm512_test_epi8_mask(bytes, bytes);
    for (int times = 1; fired; fired = _mm512_cmpgt_epu8_mask(bytes, _mm512_set1_epi8(static_cast<char>(times))), ++times)
      for (int part = 0; part < 64; part += 16) {
        const auto mask = static_cast<__mmask16>(fired >> part);
        const __m512i place = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(first + i + part)));
        _mm512_storeu_si512(next, _mm512_maskz_compress_epi32(mask, place));
        next += __builtin_popcount(mask);
      }
  }
  return next - places;
#endif
  for (; i + 8 <= count; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, x + i, 8);
    while (eight) {
      const int at = __builtin_ctzll(eight) / 8;
      take(i + at);
      eight &= ~(uint64_t{255} << (8 * at));
    }
  }
  for (; i < count; ++i) take(i);
  return next - places;
}

inline void add_row(int64_t count, const int32_t* __restrict from, int32_t* __restrict to) {
  for (int64_t m = 0; m < count; ++m) to[m] += from[m];
}

void product(int64_t rows, int64_t inner, int64_t columns, const uint8_t* a, int64_t a_row, int64_t a_inner,
             const int32_t* b, uint32_t* places, int32_t* y) {
  if (a_inner == 1 || a_row == 1) {
    // along whichever axis lies side by side: which rows of b a row of y takes, or which rows of y take a row of b
    const bool across = a_inner == 1;
    for (int64_t n = 0; n < (across ? rows : inner); ++n) {
      const int64_t count = list(across ? inner : rows, a + n * (across ? a_row : a_inner), 0, places);
      for (int64_t e = 0; e < count; ++e)
        add_row(columns, b + (across ? places[e] : n) * columns, y + (across ? n : places[e]) * columns);
    }
    return;
  }
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t k = 0; k < inner; ++k)
      for (uint8_t times = a[n * a_row + k * a_inner]; times; --times) add_row(columns, b + k * columns, y + n * columns);
}

}  // namespace
