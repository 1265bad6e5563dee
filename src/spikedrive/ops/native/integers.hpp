// The integer family, forward and backward through time; the equations stand in spikedrive/ops/ilif/reference.py.
#pragma once

#include "tiles.hpp"

namespace {

using spikedrive::Integers;
using spikedrive::IntegersBackward;
using spikedrive::IntegersForward;

// h / threshold; a power of two is divided by exactly as its inverse multiplies
template <class V>
struct Levels {
  using Float = typename V::Float;
  Float threshold, inverse, top;
  bool exact, half_even, closed;

  explicit Levels(const Integers& p)
      : threshold(V::set(p.threshold)), inverse(V::set(1 / p.threshold)), top(V::set(p.levels)),
        half_even(p.half_even), closed(p.closed) {
    int exponent;
    exact = std::frexp(p.threshold, &exponent) == 0.5 && exponent > -100 && exponent < 100;
  }
  Float ratio(Float h) const { return exact ? V::mul(h, inverse) : V::div(h, threshold); }
  Float fire(Float u) const {
    // NaN first, so that it passes through as it does in PyTorch
    const Float clipped = V::max(V::set(0), V::min(top, u));
    return half_even ? V::round_even(clipped) : V::floor(V::add(clipped, V::set(0.5)));
  }
  typename V::Mask gate(Float u) const {
    return closed ? V::both(V::ge(u, V::set(0)), V::ge(top, u)) : V::both(V::gt(u, V::set(0)), V::gt(top, u));
  }
};

template <class V, class In>
void integers_forward_of(const IntegersForward& p) {
  using Real = typename V::Real;
  const int64_t row = (p.size + 7) / 8;
  const auto* x = static_cast<const In*>(p.x);
  auto* y = static_cast<In*>(p.y);
  auto* gates = static_cast<uint8_t*>(p.gates);
  for_tiles(p.steps * p.repeats, p.size, p.threads, tile_size, [&](int64_t, int64_t first, int64_t count) {
    alignas(64) Real v[tile_size];
    const In* start = p.v ? static_cast<const In*>(p.v) + first : nullptr;
    if (p.carry)
      for (int64_t i = 0; i < count; ++i) v[i] = start ? ScalarLanes<Real>::load(start + i) : Real(0);
    for (int64_t t = 0; t < p.steps; ++t) {
      const int64_t at = t * p.size + first;
      uint8_t* gate = gates ? gates + t * p.repeats * row + first / 8 : nullptr;
      in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
        using W = decltype(lanes);
        const Levels<W> levels(p);
        const auto decay = W::set(p.decay), gain = W::set(p.gain), threshold = W::set(p.threshold);
        const auto unit = W::set(p.scale / p.repeats);
        for (int64_t i = from; i < to; i += W::width) {
          const auto input = W::load(x + at + i);
          if (!p.carry && p.repeats == 1) {
            const auto u = levels.ratio(input);
            if (gate) W::store_bits(gate, i, levels.gate(u));
            put<W>(y + at + i, W::mul(levels.fire(u), unit));
            continue;
          }
          auto membrane = p.carry ? W::load(v + i) : W::set(0);
          auto total = W::set(0);
          const auto charge = W::mul(gain, input);
          for (int r = 0; r < p.repeats; ++r) {
            const auto h = W::add(W::mul(decay, membrane), charge);
            const auto u = levels.ratio(h);
            if (gate) W::store_bits(gate + r * row, i, levels.gate(u));
            const auto s = levels.fire(u);
            membrane = W::sub(h, W::mul(threshold, s));
            total = W::add(total, s);
          }
          if (p.carry) W::store(v + i, membrane);
          put<W>(y + at + i, W::mul(total, unit));
        }
      });
    }
    if (p.last)
      for (int64_t i = 0; i < count; ++i) ScalarLanes<Real>::store(static_cast<In*>(p.last) + first + i, v[i]);
  });
}

template <class V, class In>
void integers_backward_of(const IntegersBackward& p) {
  using Real = typename V::Real;
  const int64_t row = (p.size + 7) / 8;
  const auto* grad_y = static_cast<const In*>(p.grad_y);
  auto* grad_x = static_cast<In*>(p.grad_x);
  for_tiles(p.steps * p.repeats, p.size, p.threads, tile_size, [&](int64_t, int64_t first, int64_t count) {
    alignas(64) Real carry[tile_size];
    const In* last = p.grad_last ? static_cast<const In*>(p.grad_last) + first : nullptr;
    for (int64_t i = 0; i < count; ++i) carry[i] = last ? ScalarLanes<Real>::load(last + i) : Real(0);
    for (int64_t t = p.steps - 1; t >= 0; --t) {
      const int64_t at = t * p.size + first;
      const uint8_t* gate = static_cast<const uint8_t*>(p.gates) + t * p.repeats * row + first / 8;
      in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
        using W = decltype(lanes);
        const auto decay = W::set(p.decay), gain = W::set(p.gain), unit = W::set(p.scale / p.repeats / p.threshold);
        for (int64_t i = from; i < to; i += W::width) {
          const auto grad_s = W::mul(W::load(grad_y + at + i), unit);
          if (!p.carry && p.repeats == 1) {
            put<W>(grad_x + at + i, W::keep(W::load_bits(gate, i), grad_s));
            continue;
          }
          auto after = p.carry ? W::load(carry + i) : W::set(0);
          auto total = W::set(0);
          for (int r = p.repeats - 1; r >= 0; --r) {
            const auto passes = W::load_bits(gate + r * row, i);
            const auto kept = p.detached ? after : W::keep(W::no(passes), after);
            const auto grad = W::add(kept, W::keep(passes, grad_s));
            total = W::add(total, W::mul(grad, gain));
            after = W::mul(grad, decay);
          }
          if (p.carry) W::store(carry + i, after);
          put<W>(grad_x + at + i, total);
        }
      });
    }
    if (p.grad_v)
      for (int64_t i = 0; i < count; ++i) ScalarLanes<Real>::store(static_cast<In*>(p.grad_v) + first + i, carry[i]);
  });
}

}  // namespace
