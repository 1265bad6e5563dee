// What becomes of sums: shifted, with their bias, what is added to them, and the neuron, for all steps of a position.
#pragma once

#include <algorithm>
#include <type_traits>

#include "gather.hpp"
#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// Which neuron follows, if any. `many`: one of several rungs, whose spikes are counts.
template <bool is_carry, bool is_hard, bool is_decay_input, bool is_many>
struct Kind {
  static constexpr bool fires = true, carry = is_carry, hard = is_hard, decay_input = is_decay_input, many = is_many;
};
struct NoNeuron {
  static constexpr bool fires = false, carry = false, hard = false, decay_input = false, many = false;
};

// A neuron's numbers, once for each lane.
struct Charged {
  Lanes rungs[16], back, threshold, rest, decay, fraction;
  int count;

  explicit Charged(const Fire& p) : count(static_cast<int>(p.rungs)) {
    for (int k = 0; k < count; ++k) rungs[k] = Lanes{} + static_cast<int32_t>(p.ladder[k]);
    threshold = Lanes{} + static_cast<int32_t>(p.threshold);
    rest = Lanes{} + static_cast<int32_t>(p.rest);
    decay = Lanes{} + p.decay;
    fraction = Lanes{} + p.fraction;
    back = rest - (rest >> p.decay);
  }
};

// Vectors of numbers from memory and to it, or the first `count` numbers of them.
template <int vectors, bool whole>
inline __attribute__((always_inline)) void take(const int32_t* from, int64_t count, Lanes* x) {
  if (whole) {
    for (int q = 0; q < vectors; ++q) x[q] = load<Lanes>(from + q * lanes);
    return;
  }
  alignas(64) int32_t held[vectors * lanes] = {};
  std::memcpy(held, from, static_cast<size_t>(count) * 4);
  for (int q = 0; q < vectors; ++q) x[q] = load<Lanes>(held + q * lanes);
}

template <int vectors, bool whole>
inline __attribute__((always_inline)) void give(int32_t* to, int64_t count, const Lanes* x) {
  if (whole) {
    for (int q = 0; q < vectors; ++q) store(to + q * lanes, x[q]);
    return;
  }
  alignas(64) int32_t held[vectors * lanes];
  for (int q = 0; q < vectors; ++q) store(held + q * lanes, x[q]);
  std::memcpy(to, held, static_cast<size_t>(count) * 4);
}

// The outputs [k, k + count) of position n, which are whole vectors or fewer than 16.
template <int parts, bool gathered, class Neuron, bool whole>
inline __attribute__((always_inline)) void settle_some(const Settle& p, const Charged& neuron, int64_t n, int64_t k, int64_t some) {
  const int64_t count = whole ? parts * lanes : some;
  const int64_t width = p.wide ? 256 : 128;
  Lanes v[parts], shift[parts] = {}, bias[parts] = {}, sums[parts] = {};
#pragma GCC unroll 4
  for (int q = 0; q < parts; ++q) v[q] = neuron.rest;
  if (p.state) take<parts, whole>(p.state + n * p.state_row + k, count, v);
  if (p.shift) {
    take<parts, whole>(p.shift + k, count, shift);
    take<parts, whole>(p.bias + n * p.bias_row + k, count, bias);
  }
  const Lanes minus_one = Lanes{} - 1;
  for (int64_t t = 0; t < p.steps; ++t) {
    if (t < p.sum_steps) {
      if (gathered) {
        const int64_t slot = t * p.positions + n;
        const auto excess = static_cast<uint16_t>(p.entries[slot] * p.excess);
        // a whole vector's sums lie side by side, so that where each lane stands is known here
        const int64_t first = parts * lanes == vector_bytes ? k : 0;
#pragma GCC unroll 4
        for (int q = 0; q < parts; ++q)
          sums[q] = gathered_lanes(p.gathered + slot * width + 2 * first, k - first + q * lanes, excess);
      } else {
        take<parts, whole>(p.sums + t * p.sums_step + n * p.sums_row + k, count, sums);
      }
      if (p.shift)
#pragma GCC unroll 4
        for (int q = 0; q < parts; ++q) sums[q] = (sums[q] << shift[q]) + bias[q];
    }
    Lanes y[parts];
#pragma GCC unroll 4
    for (int q = 0; q < parts; ++q) y[q] = sums[q];
    if (p.other) {
      Lanes other[parts];
      take<parts, whole>(p.other + t * p.other_step + n * p.other_row + k, count, other);
#pragma GCC unroll 4
      for (int q = 0; q < parts; ++q) y[q] += other[q];
    }
    if (p.result && (t == 0 || p.result_step)) give<parts, whole>(p.result + t * p.result_step + n * p.result_row + k, count, y);
    if (!Neuron::fires) continue;
    uint64_t bits = 0;
#pragma GCC unroll 4
    for (int q = 0; q < parts; ++q) {
      Lanes charge = y[q] << neuron.fraction;
      if (Neuron::decay_input) charge -= charge >> neuron.decay;
      const Lanes h = (Neuron::carry ? (v[q] >> neuron.decay) + neuron.back : neuron.rest) + charge;
      const Fired fired = at_least(h, neuron.rungs[0]);
      if (Neuron::carry) v[q] = Neuron::hard ? put_where(fired, h, neuron.rest) : lower_where(fired, h, neuron.threshold);
      if (!Neuron::many) {
        bits |= lane_bits(fired) << (q * lanes);
        continue;
      }
      y[q] = lower_where(fired, Lanes{}, minus_one);
      for (int r = 1; r < neuron.count; ++r) {
        const Fired again = at_least(h, neuron.rungs[r]);
        y[q] = lower_where(again, y[q], minus_one);
        if (Neuron::carry && !Neuron::hard) v[q] = lower_where(again, v[q], neuron.threshold);
      }
    }
    uint8_t* spikes = p.spikes + t * p.spikes_step + n * p.spikes_row + (p.bits ? k / 8 : k);
    if (Neuron::many) {
      if (whole) {
#pragma GCC unroll 4
        for (int q = 0; q < parts; ++q) store_bytes(spikes + q * lanes, y[q]);
        continue;
      }
      alignas(64) uint8_t held[parts * lanes];
#pragma GCC unroll 4
      for (int q = 0; q < parts; ++q) store_bytes(held + q * lanes, y[q]);
      std::memcpy(spikes, held, static_cast<size_t>(count));
      continue;
    }
    if (!whole) bits &= (uint64_t{1} << count) - 1;
    if (p.bits) std::memcpy(spikes, &bits, static_cast<size_t>((count + 15) / 16 * 2));
    else
      for (int64_t i = 0; i < count; i += 16)
        expand(std::min<int64_t>(16, count - i), static_cast<uint32_t>(bits >> i), spikes + i);
  }
  if (p.state) give<parts, whole>(p.state + n * p.state_row + k, count, v);
}

template <bool gathered, class Neuron>
void settle_as(const Settle& p) {
  static const Fire none{};
  const Charged neuron(p.fire ? *p.fire : none);
  constexpr int sixteen = static_cast<int>(16 / lanes), most = static_cast<int>(vector_bytes / lanes);
  for (int64_t n = 0; n < p.positions; ++n) {
    int64_t k = 0;
    const auto whole = [&](auto vectors) {
      constexpr int count = decltype(vectors)::value;
      if (count > most || k + count * lanes > p.outputs) return false;
      settle_some<std::min(count, most), gathered, Neuron, true>(p, neuron, n, k, 0);
      k += count * lanes;
      return true;
    };
    while (whole(std::integral_constant<int, most>{})) {
    }
    // what is left of a vector's sums: 48, 32 or 16 outputs, and fewer
    whole(std::integral_constant<int, 3 * sixteen>{}) || whole(std::integral_constant<int, 2 * sixteen>{}) ||
        whole(std::integral_constant<int, sixteen>{});
    if (k < p.outputs) settle_some<sixteen, gathered, Neuron, false>(p, neuron, n, k, p.outputs - k);
  }
}

template <bool gathered, bool many, bool... known>
void settle_fired(const Settle& p) {
  if constexpr (sizeof...(known) == 3) {
    settle_as<gathered, Kind<known..., many>>(p);
  } else {
    const bool next[3] = {p.fire->carry, p.fire->carry && p.fire->hard, p.fire->decay_input};
    if (next[sizeof...(known)]) settle_fired<gathered, many, known..., true>(p);
    else settle_fired<gathered, many, known..., false>(p);
  }
}

template <bool gathered>
void settle_from(const Settle& p) {
  if (!p.fire) settle_as<gathered, NoNeuron>(p);
  else if (p.fire->rungs > 1) settle_fired<gathered, true>(p);
  else settle_fired<gathered, false>(p);
}

void settle(const Settle& p) {
  if (p.gathered) settle_from<true>(p);
  else settle_from<false>(p);
}

}  // namespace
