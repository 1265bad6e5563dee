// Ternary spikes, forward and backward through time; the equations stand in spikedrive/ops/ternary/reference.py.
#pragma once

#include "leaky.hpp"

namespace {

using spikedrive::TernaryBackward;
using spikedrive::TernaryForward;

// where a row of bits begins: kind 0 where the neuron fired, 1 where it fired below zero, 2 the window
inline int64_t sign_row(int64_t size, int64_t t, int kind) { return (3 * t + kind) * ((size + 7) / 8); }

template <class V, class In>
void ternary_forward_of(const TernaryForward& p) {
  using Real = typename V::Real;
  const auto* x = static_cast<const In*>(p.x);
  auto* spikes = static_cast<In*>(p.spikes);
  for_tiles(p.steps, p.size, p.threads, tile_for(p.size), [&](int64_t, int64_t first, int64_t count) {
    alignas(64) Real v[tile_size];
    fill_from(v, p.v ? static_cast<const In*>(p.v) + first : nullptr, p.reset_value, count);
    for (int64_t t = 0; t < p.steps; ++t) {
      const int64_t at = t * p.size + first;
      auto* bits = static_cast<uint8_t*>(p.saved);
      auto* full = static_cast<Real*>(p.saved);
      in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
        using W = decltype(lanes);
        const auto decay = W::set(p.decay), gain = W::set(p.gain), offset = W::set(p.offset);
        const auto threshold = W::set(p.threshold), rest = W::set(p.reset_value), window = W::set(p.window);
        for (int64_t i = from; i < to; i += W::width) {
          const auto h =
              W::add(W::add(W::mul(decay, W::load(v + i)), offset), W::mul(gain, W::load(x + at + i)));
          const auto fired = W::ge(W::abs(h), threshold);
          const auto below = W::both(fired, W::gt(W::set(0), h));
          const auto s = W::keep(fired, W::select(below, W::set(-1), W::set(1)));
          W::store(spikes + at + i, s);
          W::store(v + i, p.hard ? W::select(fired, rest, h) : W::sub(h, W::mul(threshold, s)));
          if (p.save == Save::bits) {
            W::store_bits(bits + sign_row(p.size, t, 0) + first / 8, i, fired);
            W::store_bits(bits + sign_row(p.size, t, 1) + first / 8, i, below);
            W::store_bits(bits + sign_row(p.size, t, 2) + first / 8, i, W::ge(window, W::abs(h)));
          }
          if (p.save == Save::full) W::store(full + at + i, h);
        }
      });
    }
    write_to(p.last ? static_cast<In*>(p.last) + first : nullptr, v, count);
  });
}

template <class V, class In>
void ternary_backward_of(const TernaryBackward& p) {
  using Real = typename V::Real;
  const auto* grad_spikes = static_cast<const In*>(p.grad_spikes);
  auto* grad_x = static_cast<In*>(p.grad_x);
  for_tiles(p.steps, p.size, p.threads, tile_for(p.size), [&](int64_t, int64_t first, int64_t count) {
    alignas(64) Real carry[tile_size], slopes[tile_size], sizes[tile_size];
    alignas(64) uint8_t fired[tile_size / 8];
    fill_from(carry, p.grad_last ? static_cast<const In*>(p.grad_last) + first : nullptr, 0.0, count);
    for (int64_t t = p.steps - 1; t >= 0; --t) {
      const int64_t at = t * p.size + first;
      const auto* bits = static_cast<const uint8_t*>(p.saved);
      const auto* full = static_cast<const Real*>(p.saved) + at;
      const bool whole = p.save == Save::full;
      in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
        using W = decltype(lanes);
        const auto threshold = W::set(p.threshold);
        // slopes: of s; sizes: of |s|, which a hard reset follows
        if (whole && !(p.window > 0))
          with_slope<W>(p.surrogate, p.alpha, [&](const auto& slope) {
            for (int64_t i = from; i < to; i += W::width) {
              const auto h = W::load(full + i);
              const auto up = slope(W::sub(h, threshold)), down = slope(W::sub(W::sub(W::set(0), h), threshold));
              W::store(slopes + i, W::add(up, down));
              W::store(sizes + i, W::sub(up, down));
            }
          });
        for (int64_t i = from; i < to; i += W::width) {
          if (p.window > 0) {
            const auto held = whole ? W::ge(W::set(p.window), W::abs(W::load(full + i)))
                                    : W::load_bits(bits + sign_row(p.size, t, 2) + first / 8, i);
            W::store(slopes + i, W::keep(held, W::set(1)));
            if (whole) {
              const auto h = W::load(full + i), signed_slope = W::with_sign(W::load(slopes + i), W::ge(h, W::set(0)));
              W::store(sizes + i, W::keep(W::ge(W::abs(h), threshold), signed_slope));
            }
          }
          W::store_bits(fired, i, whole ? W::ge(W::abs(W::load(full + i)), threshold)
                                        : W::load_bits(bits + sign_row(p.size, t, 0) + first / 8, i));
        }
        const auto decay = W::set(p.decay), gain = W::set(p.gain), rest = W::set(p.reset_value);
        for (int64_t i = from; i < to; i += W::width) {
          const auto after = W::load(carry + i);
          const auto silent = W::no(W::load_bits(fired, i));
          const auto slope = W::load(slopes + i);
          auto grad = W::add(p.hard ? W::keep(silent, after) : after, W::mul(W::load(grad_spikes + at + i), slope));
          if (!p.detached && p.hard)
            grad = W::add(grad, W::mul(W::mul(after, W::sub(rest, W::load(full + i))), W::load(sizes + i)));
          if (!p.detached && !p.hard) grad = W::sub(grad, W::mul(W::mul(after, threshold), slope));
          W::store(carry + i, W::mul(grad, decay));
          W::store(grad_x + at + i, W::mul(grad, gain));
        }
      });
    }
    write_to(p.grad_v ? static_cast<In*>(p.grad_v) + first : nullptr, carry, count);
  });
}

}  // namespace
