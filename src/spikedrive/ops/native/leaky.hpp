// The leaky family, forward and backward through time, on lanes V and elements In in memory.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "surrogates.hpp"
#include "tiles.hpp"

namespace {

using spikedrive::Leaky;
using spikedrive::LeakyBackward;
using spikedrive::LeakyForward;
using spikedrive::Save;

// where a row of bits of step t and kind k (0 the spike, 1 the window) begins
inline int64_t bit_row(int64_t size, int64_t t, int k) { return (2 * t + k) * ((size + 7) / 8); }

template <class V>
inline __attribute__((always_inline)) typename V::Mask fires(typename V::Float h, double threshold, bool strict) {
  return strict ? V::gt(h, V::set(threshold)) : V::ge(h, V::set(threshold));
}

// The least membrane that fires, so that a strict threshold needs no question of its own in a loop.
template <class R>
inline R least_that_fires(double threshold, bool strict) {
  const R inclusive = static_cast<R>(threshold);
  return strict ? std::nextafter(inclusive, std::numeric_limits<R>::infinity()) : inclusive;
}

// Whether there is one: just above 0 it would be a number that some processors are told to take for 0.
template <class R>
inline bool has_least(double threshold, bool strict) {
  return !strict || std::fabs(threshold) >= std::numeric_limits<R>::min();
}

// One step of one tile in the usual case, neither a delayed reset nor a synapse, without a question in its loop.
// `keep(i, h, u, fired)` stores what the backward pass reads, u = h - threshold.
template <class In, class V, class Keep>
inline __attribute__((always_inline)) void usual_step(V, const Leaky& p, int64_t from, int64_t to,
                                                      const In* __restrict x, typename V::Real* __restrict v,
                                                      In* __restrict spikes, int64_t ahead, const Keep& keep) {
  const auto decay = V::set(p.decay), offset = V::set(p.offset), gain = V::set(p.gain), one = V::set(1);
  const auto threshold = V::set(p.threshold), rest = V::set(p.reset_value);
  const auto least = V::set(least_that_fires<typename V::Real>(p.threshold, p.strict));
  const auto hard = V::all(p.hard);
  for (int64_t i = from; i < to; i += V::width) {
    fetch<V>(x + i + ahead);
    const auto h = V::add(V::add(V::mul(decay, V::load(v + i)), offset), V::mul(gain, V::load(x + i)));
    const auto fired = V::ge(h, least);
    const auto u = V::sub(h, threshold);
    put<V>(spikes + i, V::keep(fired, one));
    V::store(v + i, V::select(fired, V::select(hard, rest, u), h));
    keep(i, h, u, fired);
  }
}

// One step of one tile in every case; v and c are the tile's state. For Save::half `saved` takes u, with the sign bit
// clear where a spike fired, whatever the threshold includes.
template <class In, Save save, class V>
inline __attribute__((always_inline)) void charge_fire_reset(
    V, const Leaky& p, int64_t from, int64_t to, const In* x, typename V::Real* v, typename V::Real* c, In* spikes,
    void* saved, uint8_t* window) {
  using Real = typename V::Real;
  const auto decay = V::set(p.decay), offset = V::set(p.offset), gain = V::set(p.gain);
  const auto threshold = V::set(p.threshold), rest = V::set(p.reset_value), one = V::set(1);
  const auto synapse_decay = V::set(p.synapse_decay);
  const TwoLevels<V> two(p.surrogate, p.alpha);
  const bool hard = p.hard, strict = p.strict, delayed = p.delayed, synapse = p.synapse;
  for (int64_t i = from; i < to; i += V::width) {
    auto before = V::load(v + i);
    auto input = V::load(x + i);
    typename V::Float owed = V::set(0);
    if (delayed) {
      const auto fired = fires<V>(before, p.threshold, strict);
      if (hard) before = V::select(fired, rest, before);
      else owed = V::keep(fired, threshold);
    }
    if (synapse) {
      input = V::add(V::mul(synapse_decay, V::load(c + i)), input);
      V::store(c + i, input);
    } else {
      input = V::mul(gain, input);
    }
    auto h = V::add(V::add(V::mul(decay, before), offset), input);
    if (delayed) h = V::sub(h, owed);
    const auto fired = fires<V>(h, p.threshold, strict);
    put<V>(spikes + i, V::keep(fired, one));
    if (delayed) V::store(v + i, h);
    else if (hard) V::store(v + i, V::select(fired, rest, h));
    else V::store(v + i, V::sub(h, V::keep(fired, threshold)));
    if constexpr (save == Save::bits) {
      V::store_bits(static_cast<uint8_t*>(saved), i, fired);
      V::store_bits(window, i, two.holds(V::sub(h, threshold)));
    }
    if constexpr (save == Save::half) V::store(static_cast<Real*>(saved) + i, V::with_sign(V::sub(h, threshold), fired));
    if constexpr (save == Save::full) V::store(static_cast<Real*>(saved) + i, h);
  }
}

// The slopes of a row of u, as float16 under the sign bit of u.
template <class V>
void save_slopes(const Leaky& p, const typename V::Real* u, F16* saved, int64_t count) {
  in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
    using W = decltype(lanes);
    with_slope<W>(p.surrogate, p.alpha, [&](const auto& slope) {
      for (int64_t i = from; i < to; i += W::width) {
        const auto at = W::load(u + i);
        put<W>(saved + i, W::with_sign(slope(at), W::positive(at)));
      }
    });
  });
}

template <class R, class In>
void fill_from(R* tile, const In* from, double otherwise, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    tile[i] = from ? ScalarLanes<R>::load(from + i) : static_cast<R>(otherwise);
}

template <class R, class In>
void write_to(In* to, const R* tile, int64_t count) {
  if (to)
    for (int64_t i = 0; i < count; ++i) ScalarLanes<R>::store(to + i, tile[i]);
}

// A usual step with what `save` asks for; `saved` and `window` begin at the tile.
template <class V, Save save, class In>
void save_usual_step(const Leaky& p, int64_t count, const In* x, typename V::Real* v, In* spikes, void* saved,
                     uint8_t* window, int64_t ahead) {
  in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
    using W = decltype(lanes);
    using Float = typename W::Float;
    using Mask = typename W::Mask;
    if constexpr (save == Save::none) {
      usual_step(lanes, p, from, to, x, v, spikes, ahead, [](int64_t, Float, Float, Mask) {});
    } else if constexpr (save == Save::full) {
      auto* kept = static_cast<typename V::Real*>(saved);
      usual_step(lanes, p, from, to, x, v, spikes, ahead, [&](int64_t i, Float h, Float, Mask) { put<W>(kept + i, h); });
    } else if constexpr (save == Save::bits) {
      auto* kept = static_cast<uint8_t*>(saved);
      with_window<W>(p.surrogate, p.alpha, [&](const auto& holds) {
        usual_step(lanes, p, from, to, x, v, spikes, ahead, [&](int64_t i, Float, Float u, Mask fired) {
          W::store_bits(kept, i, fired);
          W::store_bits(window, i, holds(u));
        });
      });
    } else {
      auto* kept = static_cast<F16*>(saved);
      with_slope<W>(p.surrogate, p.alpha, [&](const auto& slope) {
        usual_step(lanes, p, from, to, x, v, spikes, ahead, [&](int64_t i, Float, Float u, Mask fired) {
          put<W>(kept + i, W::with_sign(slope(u), fired));
        });
      });
    }
  });
}

template <class V, class In, Save save>
void leaky_forward_as(const LeakyForward& p) {
  using Real = typename V::Real;
  const auto* x = static_cast<const In*>(p.x);
  auto* spikes = static_cast<In*>(p.spikes);
  const bool plain = !p.delayed && !p.synapse && has_least<Real>(p.threshold, p.strict);
  for_tiles(p.steps, p.size, p.threads, tile_size, [&](int64_t, int64_t first, int64_t count) {
    alignas(64) Real v[tile_size], c[tile_size], u[save == Save::half ? tile_size : 1];
    fill_from(v, p.v ? static_cast<const In*>(p.v) + first : nullptr, p.reset_value, count);
    if (p.synapse) fill_from(c, p.c ? static_cast<const In*>(p.c) + first : nullptr, 0.0, count);
    for (int64_t t = 0; t < p.steps; ++t) {
      const int64_t at = t * p.size + first;
      void* saved = nullptr;
      uint8_t* window = nullptr;
      if constexpr (save == Save::bits) {
        saved = static_cast<uint8_t*>(p.saved) + bit_row(p.size, t, 0) + first / 8;
        window = static_cast<uint8_t*>(p.saved) + bit_row(p.size, t, 1) + first / 8;
      }
      if constexpr (save == Save::half) saved = static_cast<F16*>(p.saved) + at;
      if constexpr (save == Save::full) saved = static_cast<Real*>(p.saved) + at;
      const int64_t ahead = t + 1 < p.steps ? p.size : first + tile_size < p.size ? tile_size - t * p.size : 0;
      if (plain) {
        save_usual_step<V, save>(p, count, x + at, v, spikes + at, saved, window, ahead);
        continue;
      }
      void* whole = save == Save::half ? u : saved;
      in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
        charge_fire_reset<In, save>(lanes, p, from, to, x + at, v, c, spikes + at, whole, window);
      });
      if constexpr (save == Save::half) save_slopes<V>(p, u, static_cast<F16*>(saved), count);
    }
    write_to(p.last_v ? static_cast<In*>(p.last_v) + first : nullptr, v, count);
    write_to(p.last_c ? static_cast<In*>(p.last_c) + first : nullptr, c, count);
  });
}

template <class V, class In>
void leaky_forward_of(const LeakyForward& p) {
  switch (p.save) {
    case Save::none: return leaky_forward_as<V, In, Save::none>(p);
    case Save::full: return leaky_forward_as<V, In, Save::full>(p);
    case Save::bits:
      // doubles are saved in full
      if constexpr (sizeof(typename V::Real) == sizeof(float)) return leaky_forward_as<V, In, Save::bits>(p);
      return;
    case Save::half:
      if constexpr (sizeof(typename V::Real) == sizeof(float)) return leaky_forward_as<V, In, Save::half>(p);
      return;
  }
}

// What the backward pass of one step reads of the tile. From h: slopes, spikes as bits, and h itself.
template <class R>
struct Step {
  R* slope;
  uint8_t* fired;
  const R* h;
  // as the forward pass saved them
  const F16* slopes;
  const uint8_t *spike_bits, *window_bits;
};

template <class V>
void read_membrane(const LeakyBackward& p, int64_t count, const Step<typename V::Real>& step) {
  in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
    using W = decltype(lanes);
    with_slope<W>(p.surrogate, p.alpha, [&](const auto& slope) {
      const auto threshold = W::set(p.threshold);
      for (int64_t i = from; i < to; i += W::width) {
        const auto h = W::load(step.h + i);
        W::store(step.slope + i, slope(W::sub(h, threshold)));
        W::store_bits(step.fired, i, fires<W>(h, p.threshold, p.strict));
      }
    });
  });
}

// One step backward: carry holds the gradient of v after the step, then of v before it.
// `plain` promises a detached reset that is not delayed, no synapse, no learned decay and a grad_spikes: the usual
// case, which then has no question left in its loop.
template <Save save, bool plain, class V, class In>
inline __attribute__((always_inline)) void pull_back(
    V, const LeakyBackward& p, int64_t from, int64_t to, const Step<typename V::Real>& step, const In* grad_spikes,
    typename V::Real* carry, typename V::Real* carry_c, typename V::Real* grad_h, In* grad_x, bool last,
    int64_t ahead) {
  const auto decay = V::set(p.decay), gain = V::set(p.gain), threshold = V::set(p.threshold);
  const auto rest = V::set(p.reset_value), synapse_decay = V::set(p.synapse_decay), none = V::set(0);
  const TwoLevels<V> two(p.surrogate, p.alpha);
  const bool synapse = !plain && p.synapse, attached = !plain && !p.detached, hard = p.hard;
  if constexpr (plain) grad_h = nullptr;
  // a reset that is applied at the next step has not touched the membrane that is handed out
  const auto resets = V::all(p.hard && !(p.delayed && last));
  for (int64_t i = from; i < to; i += V::width) {
    if constexpr (plain) fetch<V>(grad_spikes + i + ahead);
    const auto after = V::load(carry + i);
    auto grad_s = plain || grad_spikes ? V::load(grad_spikes + i) : none;
    if (attached) {
      // h is there: a hard reset that is not detached saves it in full
      const auto lost = hard ? V::sub(rest, V::load(step.h + i)) : V::sub(none, threshold);
      grad_s = V::add(grad_s, V::mul(after, lost));
    }
    typename V::Float slope;
    typename V::Mask fired;
    if constexpr (save == Save::bits) {
      slope = two.level(V::load_bits(step.window_bits, i));
      fired = V::load_bits(step.spike_bits, i);
    } else if constexpr (save == Save::half) {
      const auto read = V::load(step.slopes + i);
      slope = V::abs(read);
      fired = V::positive(read);
    } else {
      slope = V::load(step.slope + i);
      fired = V::load_bits(step.fired, i);
    }
    const auto kept = V::keep(V::no(V::both(fired, resets)), after);
    const auto grad = V::add(kept, V::mul(grad_s, slope));
    V::store(carry + i, V::mul(grad, decay));
    if (grad_h) V::store(grad_h + i, grad);
    if (synapse) {
      const auto total = V::add(grad, V::load(carry_c + i));
      V::store(carry_c + i, V::mul(total, synapse_decay));
      V::store(grad_x + i, total);
    } else {
      put<V>(grad_x + i, V::mul(grad, gain));
    }
  }
}

// The gradient of a learned decay at one step of one tile: sum of dL/dh (v before - reset value - x or 0).
template <class V, class In>
double decay_gradient(const LeakyBackward& p, const typename V::Real* grad_h, const typename V::Real* h_before,
                      const In* v, const In* x, int64_t count) {
  double total = 0;
  in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
    using W = decltype(lanes);
    const auto rest = W::set(p.reset_value);
    auto sum = W::set(0);
    for (int64_t i = from; i < to; i += W::width) {
      auto before = h_before ? W::load(h_before + i) : v ? W::load(v + i) : rest;
      if (h_before) {
        const auto fired = fires<W>(before, p.threshold, p.strict);
        if (p.hard) before = W::select(fired, rest, before);
        else before = W::sub(before, W::keep(fired, W::set(p.threshold)));
      }
      before = W::sub(before, rest);
      if (p.decays_input) before = W::sub(before, W::load(x + i));
      sum = W::add(sum, W::mul(W::load(grad_h + i), before));
    }
    total += W::sum(sum);
  });
  return total;
}

// h of every step of one tile, computed again as the forward pass did
template <class V, class In>
void replay(const LeakyBackward& p, int64_t first, int64_t count, int64_t tile, typename V::Real* h, In* spikes) {
  using Real = typename V::Real;
  alignas(64) Real v[tile_size];
  fill_from(v, p.v ? static_cast<const In*>(p.v) + first : nullptr, p.reset_value, count);
  for (int64_t t = 0; t < p.steps; ++t) {
    const In* x = static_cast<const In*>(p.x) + t * p.size + first;
    in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
      charge_fire_reset<In, Save::full>(lanes, p, from, to, x, v, static_cast<Real*>(nullptr), spikes, h + t * tile,
                                        nullptr);
    });
  }
}

template <class V, class In, Save save>
void leaky_backward_as(LeakyBackward& p) {
  using Real = typename V::Real;
  // the membranes of all steps of a tile lie in the second cache when they are computed again
  int64_t tile = tile_size;
  const bool replays = p.saved == nullptr;
  const bool plain = p.detached && !p.delayed && !p.synapse && !p.learned && p.grad_spikes;
  while (replays && tile > 64 && tile * p.steps > 65536) tile /= 2;
  const int64_t tiles = (p.size + tile - 1) / tile;
  Buffer<double> sums(p.learned ? tiles + 1 : 1);
  for_tiles(p.steps, p.size, p.threads, tile, [&](int64_t k, int64_t first, int64_t count) {
    alignas(64) Real carry[tile_size], carry_c[tile_size], slope[tile_size], spare[tile_size];
    alignas(64) uint8_t fired[tile_size / 8];
    alignas(64) In spikes[tile_size];
    Buffer<Real> membranes(replays ? p.steps * tile : 1);
    if (replays) replay<V, In>(p, first, count, tile, membranes.data, spikes);
    fill_from(carry, p.grad_last_v ? static_cast<const In*>(p.grad_last_v) + first : nullptr, 0.0, count);
    fill_from(carry_c, p.grad_last_c ? static_cast<const In*>(p.grad_last_c) + first : nullptr, 0.0, count);
    double sum = 0;
    for (int64_t t = p.steps - 1; t >= 0; --t) {
      const int64_t at = t * p.size + first;
      Step<Real> step{slope, fired, nullptr, nullptr, nullptr, nullptr};
      if constexpr (save == Save::bits) {
        step.spike_bits = static_cast<const uint8_t*>(p.saved) + bit_row(p.size, t, 0) + first / 8;
        step.window_bits = static_cast<const uint8_t*>(p.saved) + bit_row(p.size, t, 1) + first / 8;
      } else if constexpr (save == Save::half) {
        step.slopes = static_cast<const F16*>(p.saved) + at;
      } else {
        step.h = replays ? membranes.data + t * tile : static_cast<const Real*>(p.saved) + at;
        read_membrane<V>(p, count, step);
      }
      Real* grad_h = p.learned ? spare : nullptr;
      const In* grad_spikes = p.grad_spikes ? static_cast<const In*>(p.grad_spikes) + at : nullptr;
      in_lanes<V>(count, [&](auto lanes, int64_t from, int64_t to) {
        auto* grad_x = static_cast<In*>(p.grad_x) + at;
        const bool last = t == p.steps - 1;
        const int64_t ahead = t > 0 ? -p.size : first + tile < p.size ? (p.steps - 1) * p.size + tile : 0;
        const auto pull = [&](auto usual) {
          pull_back<save, usual.value>(lanes, p, from, to, step, grad_spikes, carry, carry_c, grad_h, grad_x, last, ahead);
        };
        if (plain) pull(std::true_type{});
        else pull(std::false_type{});
      });
      if (p.learned) {
        const Real* before = t > 0 ? membranes.data + (t - 1) * tile : nullptr;
        const In* v = p.v ? static_cast<const In*>(p.v) + first : nullptr;
        sum += decay_gradient<V>(p, spare, before, v, static_cast<const In*>(p.x) + at, count);
      }
    }
    if (p.learned) sums.data[k] = sum;
    if (p.delayed && p.hard && p.v && p.grad_v)
      for (int64_t i = 0; i < count; ++i)
        if (fires<ScalarLanes<Real>>(ScalarLanes<Real>::load(static_cast<const In*>(p.v) + first + i), p.threshold,
                                     p.strict))
          carry[i] = 0;
    write_to(p.grad_v ? static_cast<In*>(p.grad_v) + first : nullptr, carry, count);
    write_to(p.grad_c ? static_cast<In*>(p.grad_c) + first : nullptr, carry_c, count);
  });
  // in the order of the tiles, whatever thread had which
  p.grad_decay = 0;
  if (p.learned)
    for (int64_t k = 0; k < tiles; ++k) p.grad_decay += sums.data[k];
}

template <class V, class In>
void leaky_backward_of(LeakyBackward& p) {
  if constexpr (sizeof(typename V::Real) == sizeof(float)) {
    if (p.save == Save::bits) return leaky_backward_as<V, In, Save::bits>(p);
    if (p.save == Save::half) return leaky_backward_as<V, In, Save::half>(p);
  }
  return leaky_backward_as<V, In, Save::full>(p);
}

}  // namespace
