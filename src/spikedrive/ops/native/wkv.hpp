// The weighted key-value scan, forward and backward; the equations stand in spikedrive/ops/wkv/reference.py.
//
// Every batch element and tile of channels goes over all tokens on its own. The backward pass goes over chunks from the
// last to the first, computes the states inside of each again, and then goes back over its tokens.
#pragma once

#include <algorithm>

#include "surrogates.hpp"
#include "tiles.hpp"

namespace {

using spikedrive::Wkv;
using spikedrive::WkvBackward;
using spikedrive::WkvForward;

// Channels of a tile: a chunk's states stay in the first cache.
constexpr int64_t wkv_tile = 64;

// The four exponentials of a token, none of a positive number.
template <class V>
struct WkvWeights {
  using Float = typename V::Float;
  Float past, now, kept, added, exponent;  // a, b, c, d, m
  WkvWeights(Float k, Float o, Float w, Float u) {
    const Float shown = V::add(u, k), faded = V::add(w, o);
    const Float n = V::max(o, shown);
    exponent = V::max(faded, k);
    past = exp_of_negative<V>(V::sub(o, n)), now = exp_of_negative<V>(V::sub(shown, n));
    kept = exp_of_negative<V>(V::sub(faded, exponent)), added = exp_of_negative<V>(V::sub(k, exponent));
  }
};

// The addresses of one tile of one batch element.
struct WkvPlace {
  int64_t batch, first, count;
  WkvPlace(const Wkv& p, int64_t task) {
    const int64_t tiles = (p.channels + wkv_tile - 1) / wkv_tile;
    batch = task / tiles, first = task % tiles * wkv_tile;
    count = std::min(wkv_tile, p.channels - first);
  }
  int64_t key(const Wkv& p, int64_t t) const { return (t * p.batch + batch) * 2 * p.channels + first; }
  int64_t value(const Wkv& p, int64_t t) const { return key(p, t) + p.channels; }
  int64_t output(const Wkv& p, int64_t t) const { return (t * p.batch + batch) * p.channels + first; }
  // of part 0 (p), 1 (q) or 2 (o) of the state before a chunk
  int64_t state(const Wkv& p, int64_t chunk, int64_t part) const {
    return ((chunk * p.batch + batch) * 3 + part) * p.channels + first;
  }
};

template <class Work>
void for_wkv_tiles(const Wkv& p, const Work& work) {
  const int64_t tasks = p.batch * ((p.channels + wkv_tile - 1) / wkv_tile);
  // a token costs as much as eight elements of a leaky scan
  for_tiles(p.tokens * wkv_tile * 8, tasks, p.threads, 1, [&](int64_t, int64_t task, int64_t) { work(WkvPlace(p, task)); });
}

// One token of one tile: `from` becomes `to`; y null where the output is not wanted.
template <class V, class In>
void wkv_token(const WkvForward& p, const WkvPlace& at, int64_t t, const typename V::Real* from, typename V::Real* to,
               In* y) {
  using R = typename V::Real;
  const In* k = static_cast<const In*>(p.x) + at.key(p, t);
  const In* v = static_cast<const In*>(p.x) + at.value(p, t);
  const R* decay = static_cast<const R*>(p.decay) + at.first;
  const R* first = static_cast<const R*>(p.first) + at.first;
  in_lanes<V>(at.count, [&](auto lanes, int64_t begin, int64_t end) {
    using W = decltype(lanes);
    for (int64_t i = begin; i < end; i += W::width) {
      const auto sum = W::load(from + i), weight = W::load(from + wkv_tile + i), value = W::load(v + i);
      const WkvWeights<W> e(W::load(k + i), W::load(from + 2 * wkv_tile + i), W::load(decay + i), W::load(first + i));
      if (y) {
        const auto above = W::add(W::mul(e.past, sum), W::mul(e.now, value));
        W::store(y + i, W::div(above, W::add(W::mul(e.past, weight), e.now)));
      }
      W::store(to + i, W::add(W::mul(e.kept, sum), W::mul(e.added, value)));
      W::store(to + wkv_tile + i, W::add(W::mul(e.kept, weight), e.added));
      W::store(to + 2 * wkv_tile + i, e.exponent);
    }
  });
}

template <class R>
void copy_state(const Wkv& p, const WkvPlace& at, int64_t chunk, const R* whole, R* tile) {
  for (int64_t part = 0; part < 3; ++part) {
    std::copy_n(whole + at.state(p, chunk, part), at.count, tile + part * wkv_tile);
  }
}

template <class R>
void write_state(const Wkv& p, const WkvPlace& at, int64_t chunk, const R* tile, R* whole) {
  for (int64_t part = 0; part < 3; ++part) {
    std::copy_n(tile + part * wkv_tile, at.count, whole + at.state(p, chunk, part));
  }
}

template <class V, class In>
void wkv_forward_of(const WkvForward& p) {
  using R = typename V::Real;
  for_wkv_tiles(p, [&](const WkvPlace& at) {
    alignas(64) R state[3 * wkv_tile];
    copy_state(p, at, 0, static_cast<const R*>(p.state), state);
    for (int64_t t = 0; t < p.tokens; ++t) {
      if (p.saved && t % p.chunk == 0) write_state(p, at, t / p.chunk, state, static_cast<R*>(p.saved));
      wkv_token<V>(p, at, t, state, state, static_cast<In*>(p.y) + at.output(p, t));
    }
    write_state(p, at, 0, state, static_cast<R*>(p.last));
  });
}

// Back over one token of one tile; `grads` holds gp, gq and the sums of the gradients of w and u.
template <class V, class In>
void wkv_token_back(const WkvBackward& p, const WkvPlace& at, int64_t t, const typename V::Real* state,
                    typename V::Real* grads) {
  using R = typename V::Real;
  const In *k = static_cast<const In*>(p.x) + at.key(p, t), *v = static_cast<const In*>(p.x) + at.value(p, t);
  In *grad_k = static_cast<In*>(p.grad_x) + at.key(p, t), *grad_v = static_cast<In*>(p.grad_x) + at.value(p, t);
  const In* grad_y = static_cast<const In*>(p.grad_y) + at.output(p, t);
  const R* decay = static_cast<const R*>(p.decay) + at.first;
  const R* first = static_cast<const R*>(p.first) + at.first;
  R *sums = grads, *weights = grads + wkv_tile, *decays = grads + 2 * wkv_tile, *firsts = grads + 3 * wkv_tile;
  in_lanes<V>(at.count, [&](auto lanes, int64_t begin, int64_t end) {
    using W = decltype(lanes);
    for (int64_t i = begin; i < end; i += W::width) {
      const auto sum = W::load(state + i), weight = W::load(state + wkv_tile + i), value = W::load(v + i);
      const WkvWeights<W> e(W::load(k + i), W::load(state + 2 * wkv_tile + i), W::load(decay + i), W::load(first + i));
      const auto total = W::add(W::mul(e.past, weight), e.now);
      const auto y = W::div(W::add(W::mul(e.past, sum), W::mul(e.now, value)), total);
      const auto g = W::div(W::load(grad_y + i), total), shown = W::mul(g, e.now);
      const auto own = W::mul(shown, W::sub(value, y));
      const auto gp = W::load(sums + i), gq = W::load(weights + i);
      W::store(grad_k + i, W::add(own, W::mul(W::add(W::mul(gp, value), gq), e.added)));
      W::store(grad_v + i, W::add(shown, W::mul(gp, e.added)));
      W::store(firsts + i, W::add(W::load(firsts + i), own));
      const auto faded = W::mul(W::add(W::mul(gp, sum), W::mul(gq, weight)), e.kept);
      W::store(decays + i, W::add(W::load(decays + i), faded));
      const auto past = W::mul(g, e.past);
      W::store(sums + i, W::add(past, W::mul(e.kept, gp)));
      W::store(weights + i, W::sub(W::mul(e.kept, gq), W::mul(past, y)));
    }
  });
}

template <class V, class In>
void wkv_backward_of(const WkvBackward& p) {
  using R = typename V::Real;
  for_wkv_tiles(p, [&](const WkvPlace& at) {
    Buffer<R> states(p.chunk * 3 * wkv_tile);
    alignas(64) R grads[4 * wkv_tile] = {};
    if (p.grad_last) copy_state(p, at, 0, static_cast<const R*>(p.grad_last), grads);
    std::fill_n(grads + 2 * wkv_tile, 2 * wkv_tile, R(0));
    for (int64_t chunk = (p.tokens - 1) / p.chunk; chunk >= 0; --chunk) {
      const int64_t begin = chunk * p.chunk, end = std::min(begin + p.chunk, p.tokens);
      copy_state(p, at, chunk, static_cast<const R*>(p.saved), states.data);
      for (int64_t t = begin; t + 1 < end; ++t) {
        R* state = states.data + (t - begin) * 3 * wkv_tile;
        wkv_token<V, In>(p, at, t, state, state + 3 * wkv_tile, nullptr);
      }
      for (int64_t t = end - 1; t >= begin; --t) {
        wkv_token_back<V, In>(p, at, t, states.data + (t - begin) * 3 * wkv_tile, grads);
      }
    }
    const int64_t where = at.batch * p.channels + at.first;
    std::copy_n(grads + 2 * wkv_tile, at.count, static_cast<R*>(p.grad_decay) + where);
    std::copy_n(grads + 3 * wkv_tile, at.count, static_cast<R*>(p.grad_first) + where);
    std::fill_n(grads + 2 * wkv_tile, wkv_tile, R(0));
    write_state(p, at, 0, grads, static_cast<R*>(p.grad_state));
  });
}

}  // namespace
