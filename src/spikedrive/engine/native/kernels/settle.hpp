// What becomes of sums: shifted, with their bias, what is added to them, and the neuron, for all steps of a position.
#pragma once

#include <algorithm>

#include "gather.hpp"
#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// Outputs that are worked on together.
constexpr int64_t outputs_together = 16;
constexpr int parts = static_cast<int>(outputs_together / lanes);

// A neuron's numbers, once for each lane.
struct Charged {
  Lanes rungs[16], back, threshold, rest;
  int count, decay, fraction;
  bool hard, carry;

  explicit Charged(const Fire& p) : count(static_cast<int>(p.rungs)), decay(p.decay), fraction(p.fraction), hard(p.hard), carry(p.carry) {
    for (int k = 0; k < count; ++k) rungs[k] = Lanes{} + static_cast<int32_t>(p.ladder[k]);
    threshold = Lanes{} + static_cast<int32_t>(p.threshold);
    rest = Lanes{} + static_cast<int32_t>(p.rest);
    back = rest - (rest >> decay);
  }
};

// `many`: a neuron of several rungs, whose spikes are counts.
template <bool gathered, bool many>
void settle_as(const Settle& p) {
  static const Fire none{};
  const Charged neuron(p.fire ? *p.fire : none);
  const int64_t width = p.wide ? 256 : 128;
  for (int64_t n = 0; n < p.positions; ++n)
    for (int64_t k = 0; k < p.outputs; k += outputs_together) {
      const int64_t count = std::min(outputs_together, p.outputs - k);
      const bool whole = count == outputs_together;
      // what reads and writes the last outputs, fewer than a vector
      alignas(64) int32_t held[outputs_together] = {};
      const auto given = [&](const int32_t* from, int part) {
        if (whole) return load<Lanes>(from + part * lanes);
        std::memcpy(held, from, static_cast<size_t>(count) * 4);
        return load<Lanes>(held + part * lanes);
      };
      Lanes v[parts], shift[parts] = {}, bias[parts] = {}, sums[parts] = {};
      for (int q = 0; q < parts; ++q) {
        v[q] = p.state ? given(p.state + n * p.state_row + k, q) : neuron.rest;
        if (!p.shift) continue;
        shift[q] = given(p.shift + k, q);
        bias[q] = given(p.bias + n * p.bias_row + k, q);
      }
      for (int64_t t = 0; t < p.steps; ++t) {
        if (t < p.sum_steps)
          for (int q = 0; q < parts; ++q) {
            if (gathered) {
              const int64_t slot = t * p.positions + n;
              sums[q] = gathered_lanes(p.gathered + slot * width, k + q * lanes, static_cast<uint16_t>(p.entries[slot] * p.excess));
            } else {
              sums[q] = given(p.sums + t * p.sums_step + n * p.sums_row + k, q);
            }
            sums[q] = (sums[q] << shift[q]) + bias[q];
          }
        Lanes y[parts];
        for (int q = 0; q < parts; ++q) {
          y[q] = sums[q];
          if (p.other) y[q] += given(p.other + t * p.other_step + n * p.other_row + k, q);
        }
        if (p.result && (t == 0 || p.result_step)) {
          int32_t* to = p.result + t * p.result_step + n * p.result_row + k;
          int32_t* into = whole ? to : held;
          for (int q = 0; q < parts; ++q) store(into + q * lanes, y[q]);
          if (!whole) std::memcpy(to, held, static_cast<size_t>(count) * 4);
        }
        if (!p.fire) continue;
        uint32_t bits = 0;
        for (int q = 0; q < parts; ++q) {
          if (!neuron.carry) v[q] = neuron.rest;
          const Lanes h = (v[q] >> neuron.decay) + neuron.back + (y[q] << neuron.fraction);
          // all ones, which is -1, where it fired
          Lanes fired = h >= neuron.rungs[0];
          if (many) {
            for (int r = 1; r < neuron.count; ++r) fired += h >= neuron.rungs[r];
            y[q] = -fired;
            v[q] = neuron.hard ? (fired != 0 ? neuron.rest : h) : h + neuron.threshold * fired;
          } else {
            bits |= lane_bits(fired) << (q * lanes);
            v[q] = neuron.hard ? (fired ? neuron.rest : h) : (fired ? h - neuron.threshold : h);
          }
        }
        if (many) {
          uint8_t* to = p.spikes + t * p.spikes_step + n * p.spikes_row + k;
          for (int q = 0; q < parts; ++q) store(held + q * lanes, y[q]);
          for (int64_t i = 0; i < count; ++i) to[i] = static_cast<uint8_t>(held[i]);
          continue;
        }
        if (!whole) bits &= (1u << count) - 1;
        if (p.bits) {
          const auto sixteen = static_cast<uint16_t>(bits);
          std::memcpy(p.spikes + t * p.spikes_step + n * p.spikes_row + k / 8, &sixteen, 2);
        } else {
          expand(count, bits, p.spikes + t * p.spikes_step + n * p.spikes_row + k);
        }
      }
      if (!p.state) continue;
      int32_t* to = p.state + n * p.state_row + k;
      int32_t* into = whole ? to : held;
      for (int q = 0; q < parts; ++q) store(into + q * lanes, v[q]);
      if (!whole) std::memcpy(to, held, static_cast<size_t>(count) * 4);
    }
}

void settle(const Settle& p) {
  const bool many = p.fire && p.fire->rungs > 1;
  if (p.gathered) many ? settle_as<true, true>(p) : settle_as<true, false>(p);
  else many ? settle_as<false, true>(p) : settle_as<false, false>(p);
}

}  // namespace
