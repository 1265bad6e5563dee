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

template <class R>
void fire_as(const Fire& p, int64_t count, const int32_t* x, R* v, uint8_t* y) {
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

void add(int64_t count, const int32_t* a, const int32_t* b, int32_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = a[i] + b[i];
}

void shift(int64_t count, const int32_t* x, int left, int32_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = shifted(x[i], left);
}

void widen(int64_t count, const uint8_t* x, int32_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i];
}

void spread(int64_t count, const uint8_t* bits, uint8_t* y) {
  for (int64_t i = 0; i < count; i += 16) {
    const int64_t some = std::min<int64_t>(16, count - i);
    const uint32_t sixteen = bits[i / 8] | (some > 8 ? static_cast<uint32_t>(bits[i / 8 + 1]) << 8 : 0);
    expand(some, sixteen, y + i);
  }
}

int64_t sum(int64_t count, const uint8_t* x, bool bits) {
  int64_t total = 0;
  if (bits) {
    for (; count >= 8; count -= 8, x += 8) {
      uint64_t eight;
      std::memcpy(&eight, x, 8);
      total += __builtin_popcountll(eight);
    }
    for (int64_t i = 0; i < count; ++i) total += __builtin_popcount(x[i]);
    return total;
  }
  for (int64_t i = 0; i < count; i += part) {
    uint32_t sum = 0;
    for (int64_t k = i; k < std::min(i + part, count); ++k) sum += x[k];
    total += sum;
  }
  return total;
}

}  // namespace
