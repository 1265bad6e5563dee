// What the kernels are asked for, and the table of them that each instruction set fills.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace spikedrive::engine {

// Outputs are worked on in groups of this many: the widest vector of bytes.
constexpr int64_t group = 64;

// A window of a map (rows, columns, channels) of bytes: `segments` runs of bytes that lie side by side, one a row of
// the kernel, `row` bytes apart. From one output column to the next the window moves by `step` bytes.
struct Windows {
  const uint8_t* from;
  int64_t segments, length, row, step;
};

// Sums of weights over windows: y[x][k] = sum_i,j w[i][j][k] from[i row + x step + j].
struct Dense {
  Windows windows;
  // [output / 16][segment][length / 4][16][4], zero where padded
  const int8_t* weight;
  // bytes of one group of 16 outputs
  int64_t weight_stride;
  int64_t columns, outputs;
  // (columns, outputs rounded up to `group`)
  int32_t* y;
};

// The places of what fired in one row of a map, column by column; a place that fired n stands there n times. `starts[x]`
// is where column x begins.
struct Fired {
  const uint32_t* places;
  const int32_t* starts;
};

// The same sums from lists: for each output column x the places of columns [x stride - padding, + width).
struct Sparse {
  // one a row of the kernel; null where the row lies outside
  const Fired* rows;
  int64_t kernel_rows, kernel_columns, channels, in_columns, stride, padding;
  // [output / 64][kernel row][kernel column][channel][64], 128 added to each, even bytes the first half of a vector
  const uint8_t* weight;
  int64_t columns, outputs;
  // how many places may be summed before 16 bits no longer tell the sums apart
  int64_t most;
  int32_t* y;
  // the column of the row that `starts` begins with
  int64_t origin;
};

// y[x][c] = sum_i,j w[i][j][c] from[..], one weight a channel.
struct Depthwise {
  const uint8_t* from;
  int64_t row, step, kernel_rows, kernel_columns, kernel_step, channels;
  // [kernel row][kernel column][channel]
  const int16_t* weight;
  bool binary, narrow;
  int64_t columns;
  int32_t* y;
};

// One step of neurons: see the equation of Neuron in ir.py. `wide` membranes have 64 bits, the others 32.
struct Fire {
  const int64_t* ladder;
  int64_t rungs, threshold, rest;
  int decay, fraction, repeats;
  bool hard, decay_input, carry, wide;
};

// One rung, one charge a step and a membrane that is carried.
inline bool is_usual(const Fire& p) { return p.rungs == 1 && p.repeats == 1 && p.carry && !p.decay_input; }

// What a layer adds to its sums: y[x][k] = (sums[x][k] << shift[k]) + bias[k], the bias moving by bias_step a column; sums
// has `padded` outputs a column.
struct Finish {
  const int32_t* sums;
  int64_t padded;
  const int32_t *shift, *bias;
  int64_t bias_step, columns, outputs;
};

struct Kernels {
  const char* name;
  // of a vector, which decides how `Sparse::weight` is packed
  int64_t vector_bytes;
  void (*finish)(const Finish&, int32_t* y);
  // `finish` and `fire` of what it gives, for a neuron for which `is_usual` holds
  void (*finish_and_fire)(const Finish&, const Fire&, void* v, uint8_t* y);
  void (*dense)(const Dense&);
  void (*sparse)(const Sparse&);
  void (*depthwise)(const Depthwise&);
  // v holds numbers of 64 bits where membranes are wide
  void (*fire)(const Fire&, int64_t count, const int32_t* x, void* v, uint8_t* y);
  // membranes at rest
  void (*rest)(const Fire&, int64_t count, void* v);
  void (*add)(int64_t count, const int32_t* a, const int32_t* b, int32_t* y);
  void (*shift)(int64_t count, const int32_t* x, int left, int32_t* y);
  void (*widen)(int64_t count, const uint8_t* x, int32_t* y);
  // the sum of `count` bytes
  int64_t (*sum)(int64_t count, const uint8_t* x);
  // the places of what fired in `count` bytes, each as often as it fired, in any order; returns how many, and may write
  // 16 more
  int64_t (*list)(int64_t count, const uint8_t* x, uint32_t first, uint32_t* places);
  // y[n][m] += a[n][k] b[k][m] for bytes a, whose strides are free; `places` has room for a list of its longer axis
  void (*product)(int64_t rows, int64_t inner, int64_t columns, const uint8_t* a, int64_t a_row, int64_t a_inner,
                  const int32_t* b, uint32_t* places, int32_t* y);
};

// The instruction sets that were built and that this machine has, the widest last.
std::vector<std::string> levels_here();
// std::invalid_argument for one that is not among them
const Kernels& kernels_of(const std::string& level);

}  // namespace spikedrive::engine
