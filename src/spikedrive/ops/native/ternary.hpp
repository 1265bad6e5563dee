// Ternary spikes, forward and backward through time; the equations stand in spikedrive/ops/ternary/reference.py.
//
// Both thresholds lie alike around zero, so the slopes of s and of |s| follow from |h|: with near and far the
// surrogate's at |h| - threshold and at -|h| - threshold, near + far and, with the sign of h, near - far.
#pragma once

#include "leaky.hpp"

namespace {

using spikedrive::TernaryBackward;
using spikedrive::TernaryForward;

// The slope of s where it takes two values: the window around zero, or a surrogate's of two levels that holds h at one
// threshold only (or at both always).
template <class V>
struct TwoSlopes {
  using Float = typename V::Float;
  TwoLevels<V> level;
  bool windowed;
  Float threshold, window, inside, outside;

  TwoSlopes(const Leaky& p, double window)
      : level(p.surrogate, p.alpha), windowed(window > 0), threshold(V::set(p.threshold)), window(V::set(window)) {
    const auto far = level(V::set(-INFINITY));
    inside = windowed ? V::set(1) : V::add(level.level(V::all(true)), far);
    outside = windowed ? V::set(0) : V::add(level.level(V::all(false)), far);
  }
  typename V::Mask holds(Float size) const {
    return windowed ? V::ge(window, size) : level.holds(V::sub(size, threshold));
  }
  Float operator()(typename V::Mask held) const { return V::select(held, inside, outside); }
};

// One step of one tile; `keep(i, h, size, fired)` stores what the backward pass reads, size = |h|.
template <class In, class V, class Keep>
inline __attribute__((always_inline)) void ternary_step(V, const TernaryForward& p, int64_t from, int64_t to,
                                                        const In* __restrict x, typename V::Real* __restrict v,
                                                        In* __restrict spikes, const Keep& keep) {
  const auto decay = V::set(p.decay), gain = V::set(p.gain), offset = V::set(p.offset), one = V::set(1);
  const auto threshold = V::set(p.threshold), rest = V::set(p.reset_value);
  const auto hard = V::all(p.hard);
  for (int64_t i = from; i < to; i += V::width) {
    const auto h = V::add(V::add(V::mul(decay, V::load(v + i)), offset), V::mul(gain, V::load(x + i)));
    const auto size = V::abs(h);
    const auto fired = V::ge(size, threshold), above = V::positive(h);
    put<V>(spikes + i, V::keep(fired, V::with_sign(one, above)));
    const auto reset = V::select(hard, rest, V::sub(h, V::with_sign(threshold, above)));
    V::store(v + i, V::select(fired, reset, h));
    keep(i, h, size, fired);
  }
}

// A step with what `save` asks for; `at` is where the tile begins in it.
template <Save save, class V, class In>
void save_ternary_step(const TernaryForward& p, int64_t t, int64_t first, int64_t count, typename V::Real* v) {
  const int64_t at = t * p.size + first;
  const auto* x = static_cast<const In*>(p.x) + at;
  auto* spikes = static_cast<In*>(p.spikes) + at;
  in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
    using W = decltype(lanes);
    using Float = typename W::Float;
    using Mask = typename W::Mask;
    const auto step = [&](const auto& keep) { ternary_step(lanes, p, from, to, x, v, spikes, keep); };
    if constexpr (save == Save::none) {
      step([](int64_t, Float, Float, Mask) {});
    } else if constexpr (save == Save::full) {
      auto* saved = static_cast<typename V::Real*>(p.saved) + at;
      step([&](int64_t i, Float h, Float, Mask) { put<W>(saved + i, h); });
    } else if constexpr (save == Save::bits) {
      auto* bits = static_cast<uint8_t*>(p.saved) + first / 8;
      const TwoSlopes<W> slope(p, p.window);
      step([&](int64_t i, Float, Float size, Mask fired) {
        W::store_bits(bits + bit_row(p.size, t, 0), i, fired);
        W::store_bits(bits + bit_row(p.size, t, 1), i, slope.holds(size));
      });
    } else {
      auto* saved = static_cast<F16*>(p.saved) + at;
      const auto threshold = W::set(p.threshold), none = W::set(0);
      with_slope<W>(p.surrogate, p.alpha, [&](const auto& slope) {
        step([&](int64_t i, Float, Float size, Mask fired) {
          const auto near = slope(W::sub(size, threshold)), far = slope(W::sub(W::sub(none, size), threshold));
          put<W>(saved + i, W::with_sign(W::add(near, far), fired));
        });
      });
    }
  });
}

template <Save save, class V, class In>
void ternary_forward_as(const TernaryForward& p) {
  for_tiles(p.steps, p.size, p.threads, tile_size, [&](int64_t, int64_t first, int64_t count) {
    alignas(64) typename V::Real v[tile_size];
    fill_from(v, p.v ? static_cast<const In*>(p.v) + first : nullptr, p.reset_value, count);
    for (int64_t t = 0; t < p.steps; ++t) {
      save_ternary_step<save, V, In>(p, t, first, count, v);
    }
    write_to(p.last ? static_cast<In*>(p.last) + first : nullptr, v, count);
  });
}

template <class V, class In>
void ternary_forward_of(const TernaryForward& p) {
  // doubles are saved in full
  if constexpr (sizeof(typename V::Real) == sizeof(float)) {
    if (p.save == Save::bits) return ternary_forward_as<Save::bits, V, In>(p);
    if (p.save == Save::half) return ternary_forward_as<Save::half, V, In>(p);
  }
  if (p.save == Save::full) return ternary_forward_as<Save::full, V, In>(p);
  ternary_forward_as<Save::none, V, In>(p);
}

// What the backward pass reads of h itself: the slopes of s and of |s|, which a hard reset follows.
template <class V>
void read_ternary(const TernaryBackward& p, int64_t count, const typename V::Real* h, typename V::Real* slopes,
                  typename V::Real* sizes) {
  in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
    using W = decltype(lanes);
    const auto threshold = W::set(p.threshold), none = W::set(0), one = W::set(1), window = W::set(p.window);
    if (p.window > 0) {
      for (int64_t i = from; i < to; i += W::width) {
        const auto at = W::load(h + i), size = W::abs(at), slope = W::keep(W::ge(window, size), one);
        W::store(slopes + i, slope);
        W::store(sizes + i, W::keep(W::ge(size, threshold), W::with_sign(slope, W::positive(at))));
      }
      return;
    }
    with_slope<W>(p.surrogate, p.alpha, [&](const auto& slope) {
      for (int64_t i = from; i < to; i += W::width) {
        const auto at = W::load(h + i);
        const auto up = slope(W::sub(at, threshold)), down = slope(W::sub(W::sub(none, at), threshold));
        W::store(slopes + i, W::add(up, down));
        W::store(sizes + i, W::sub(up, down));
      }
    });
  });
}

// One step of one tile: carry holds the gradient of v after the step, then of v before it. slopes and sizes are what
// `read_ternary` found, for Save::full alone.
template <Save save, class V, class In>
void pull_ternary_back(const TernaryBackward& p, int64_t t, int64_t first, int64_t count,
                       typename V::Real* __restrict carry, const typename V::Real* slopes,
                       const typename V::Real* sizes) {
  const int64_t at = t * p.size + first;
  const auto* grad_spikes = static_cast<const In*>(p.grad_spikes) + at;
  auto* __restrict grad_x = static_cast<In*>(p.grad_x) + at;
  const auto* full = static_cast<const typename V::Real*>(p.saved) + at;
  const auto* half = static_cast<const F16*>(p.saved) + at;
  const auto* bits = static_cast<const uint8_t*>(p.saved) + first / 8;
  in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
    using W = decltype(lanes);
    const auto decay = W::set(p.decay), gain = W::set(p.gain), rest = W::set(p.reset_value);
    const auto threshold = W::set(p.threshold);
    const auto hard = W::all(p.hard), attached = W::all(!p.detached && !p.hard);
    const TwoSlopes<W> two(p, p.window);
    for (int64_t i = from; i < to; i += W::width) {
      typename W::Float slope;
      typename W::Mask fired;
      if constexpr (save == Save::bits) {
        fired = W::load_bits(bits + bit_row(p.size, t, 0), i);
        slope = two(W::load_bits(bits + bit_row(p.size, t, 1), i));
      } else if constexpr (save == Save::half) {
        const auto read = W::load(half + i);
        fired = W::positive(read);
        slope = W::abs(read);
      } else {
        fired = W::ge(W::abs(W::load(full + i)), threshold);
        slope = W::load(slopes + i);
      }
      const auto after = W::load(carry + i);
      const auto kept = W::keep(W::no(W::both(fired, hard)), after);
      const auto lost = W::keep(attached, W::mul(after, threshold));
      auto grad = W::add(kept, W::mul(W::sub(W::load(grad_spikes + i), lost), slope));
      if constexpr (save == Save::full)
        if (p.hard && !p.detached)
          grad = W::add(grad, W::mul(W::mul(after, W::sub(rest, W::load(full + i))), W::load(sizes + i)));
      W::store(carry + i, W::mul(grad, decay));
      put<W>(grad_x + i, W::mul(grad, gain));
    }
  });
}

template <Save save, class V, class In>
void ternary_backward_as(const TernaryBackward& p) {
  using Real = typename V::Real;
  for_tiles(p.steps, p.size, p.threads, tile_size, [&](int64_t, int64_t first, int64_t count) {
    constexpr int64_t read = save == Save::full ? tile_size : 1;
    alignas(64) Real carry[tile_size], slopes[read], sizes[read];
    fill_from(carry, p.grad_last ? static_cast<const In*>(p.grad_last) + first : nullptr, 0.0, count);
    for (int64_t t = p.steps - 1; t >= 0; --t) {
      if constexpr (save == Save::full)
        read_ternary<V>(p, count, static_cast<const Real*>(p.saved) + t * p.size + first, slopes, sizes);
      pull_ternary_back<save, V, In>(p, t, first, count, carry, slopes, sizes);
    }
    write_to(p.grad_v ? static_cast<In*>(p.grad_v) + first : nullptr, carry, count);
  });
}

template <class V, class In>
void ternary_backward_of(const TernaryBackward& p) {
  if constexpr (sizeof(typename V::Real) == sizeof(float)) {
    if (p.save == Save::bits) return ternary_backward_as<Save::bits, V, In>(p);
    if (p.save == Save::half) return ternary_backward_as<Save::half, V, In>(p);
  }
  ternary_backward_as<Save::full, V, In>(p);
}

}  // namespace
