// What the kernels are asked for, and the table of them that each instruction set fills.
#pragma once

#include <cstdint>

namespace spikedrive {

enum class Type { f32, bf16, f64 };

// what the forward pass keeps for the backward pass:
//   bits  two bits an element, the spike and whether the surrogate's window holds h
//   half  the surrogate's slope in float16, its sign bit clear where the spike is 1
//   full  h itself, float for f32 and bf16 input, double for f64
enum class Save { none, bits, half, full };

// in the order of SURROGATES in __init__.py
enum class Surrogate {
  rectangular, rectangular_closed, leaky_rectangular, relu, heaviside, straight_through,
  sigmoid, atan, triangle, exponential, soft_sign, super_spike, fast_sigmoid, sparse_fast_sigmoid, erf,
  log_abs, fourier, s2nn, q_pseudo_spike, log_tailed_relu, numerical, spike_rate_escape, tanh_window,
};

// One scan of T steps over N neurons that lie one after the other: element (t, i) is t * N + i.
//
//   charge   h = decay v + offset + gain x        (decay v + c, with c = synapse_decay c + x, for a synapse)
//   fire     s = 1 where h >= threshold (> when strict)
//   reset    v = s ? reset_value : h (hard), h - threshold s (soft); with `delayed` at the start of the next step,
//            where the soft form subtracts after the leak
struct Leaky {
  int64_t steps, size;
  Type type;
  int threads;
  double decay, gain, offset, threshold, reset_value;
  bool hard, strict, detached, delayed;
  bool synapse;
  double synapse_decay;
  Save save;
  Surrogate surrogate;
  double alpha;
};

struct LeakyForward : Leaky {
  const void *x, *v, *c;  // v null: reset_value; c null: 0
  void *spikes, *last_v, *last_c, *saved;
};

struct LeakyBackward : Leaky {
  const void *grad_spikes, *grad_last_v, *grad_last_c;  // each may be null: 0
  const void *saved;                                    // null: h is computed again from x and v
  const void *x, *v;
  void *grad_x, *grad_v, *grad_c;  // the last two may be null: not wanted
  bool learned, decays_input;      // a learned decay's gradient is wanted
  double grad_decay;
};

// Integers 0..levels of each element, `repeats` charges a step; without `carry` each step starts from 0.
struct Integers {
  int64_t steps, size;
  Type type;
  int threads;
  int levels, repeats;
  double decay, gain, threshold, scale;
  bool carry, half_even, closed, detached;
};

struct IntegersForward : Integers {
  const void *x, *v;
  void *y, *last, *gates;  // gates: one bit a charge, or null
};

struct IntegersBackward : Integers {
  const void *grad_y, *grad_last, *gates;
  void *grad_x, *grad_v;
};

// Spikes in {-1, 0, 1}; the slope is 1 where |h| <= window (if window > 0), else the surrogate's at both thresholds.
// Of Save: bits are whether it fired and which of two slopes s has, half is the slope of s and whether it fired.
struct TernaryForward : Leaky {
  double window;
  const void *x, *v;
  void *spikes, *last, *saved;
};

struct TernaryBackward : Leaky {
  double window;
  const void *grad_spikes, *grad_last, *saved;
  void *grad_x, *grad_v;
};

// Numbers scale * n with whole n from low to low + 2^bits - 1, kept as a plane of bits for each bit of n - low.
struct Packing {
  int64_t count;
  Type type;
  int bits, low;
  double scale;
};

struct Pack : Packing {
  const void* values;
  void* planes;
  bool fits;  // whether all values are such numbers; where not, the planes have no meaning
};

struct Unpack : Packing {
  const void* planes;
  void* values;
};

// The weighted key-value scan: x is (tokens, batch, 2 channels), k before v; states are (batch, 3, channels).
// Numbers that are no elements of x or y are float for f32 and bf16, double for f64.
struct Wkv {
  int64_t tokens, batch, channels, chunk;
  Type type;
  int threads;
};

struct WkvForward : Wkv {
  const void *x, *state, *decay, *first;
  void *y, *last, *saved;  // saved: the state before each chunk, or null
};

struct WkvBackward : WkvForward {
  const void *grad_y, *grad_last;  // the latter may be null: 0
  void *grad_x, *grad_state, *grad_decay, *grad_first;
};

struct Kernels {
  void (*leaky_forward)(const LeakyForward&);
  void (*leaky_backward)(LeakyBackward&);
  void (*integers_forward)(const IntegersForward&);
  void (*integers_backward)(const IntegersBackward&);
  void (*ternary_forward)(const TernaryForward&);
  void (*ternary_backward)(const TernaryBackward&);
  void (*pack)(Pack&);
  void (*unpack)(const Unpack&);
  void (*wkv_forward)(const WkvForward&);
  void (*wkv_backward)(const WkvBackward&);
};

const Kernels* scalar_kernels();
#ifdef SPIKEDRIVE_X86
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
#endif
#ifdef SPIKEDRIVE_ARM64
const Kernels* neon_kernels();
#endif

}  // namespace spikedrive
