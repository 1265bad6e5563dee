// What the kernels are asked for, and the table of them that each instruction set fills.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace spikedrive::engine {

// Dense sums work on this many outputs at a time, and sums of what fired on as many or on twice as many.
constexpr int64_t group = 64;
// Bytes of a window, at most, of which dense sums meet the weights at once.
constexpr int64_t dense_block = 256;

// Output columns side by side; the first one's window begins at `from`.
struct Run {
  const uint8_t* from;
  int64_t columns;
};

// Sums of weights over windows, y[x][k] = sum_i,j w[i][j][k] from[i row + x step + j], for each column x of each run. A
// window of a map (rows, columns, channels) of bytes has `segments` runs of `length` bytes, one a row of the kernel, `row`
// bytes apart; from one output column to the next it moves by `step` bytes. Four bytes of a run lie side by side, the next
// four `unit` bytes further.
struct Dense {
  const Run* runs;
  int64_t run_count, segments, length, unit, row, step;
  // [output / 16][segment][length / 4][16][4], zero where padded
  const int8_t* weight;
  // bytes of one group of 16 outputs
  int64_t weight_stride, outputs;
  // columns of all runs, `y_row` numbers each, of which outputs rounded up to `group` are written
  int32_t* y;
  int64_t y_row;
  // whether they are added to what is there; whether they, and windows, lie so far apart that those of the next tile
  // should be asked for
  bool adds = false, far = false;
};

// Rows of bytes, by fours: of each channel four rows side by side, as `Dense` reads windows and weights. Channels are
// taken by 64, whatever those beyond the last hold; rows beyond the last are zeros.
struct Interleave {
  const uint8_t* from;
  int64_t rows, row, channels;
  // [channel / 16][row / 4][16][4], so many bytes from 16 channels to the next
  uint8_t* to;
  int64_t group_bytes;
};

// Numbers as sums of bytes with a sign: what is left of each after so many pieces, as far as a byte holds it.
struct Cut {
  const int32_t* from;
  int64_t rows, row, columns, piece;
  int8_t* to;
  int64_t to_row;
};

// One row of a map, or all rows of a matrix, of which the places that fired are listed: column x channels + channel,
// wrapped to 16 bits, as often as it fired. A position's channels are cut into `splits` parts of `split` channels.
struct Listing {
  const uint8_t* from;
  // one bit a channel, each position's rounded up to 16; or a byte a channel
  bool bits;
  int64_t columns, channels, splits, split;
};

// `starts[x splits + s]` is where part s of column x begins; one more ends the last.
struct Listed {
  const uint16_t* places;
  const int32_t* starts;
};

// Taps (row, column ... column + columns) of a kernel, for one part of the channels; their rows of weights begin at row
// `first` of their block.
struct Segment {
  int32_t row, column, columns, part, first;
};

// Segments of a block, at most.
constexpr int64_t most_segments = 64;

// From lists to feeds: for each of `steps` x `positions` slots the rows of one block of weights that it adds up.
struct Feeding {
  // one a step and row of the map
  const Listed* rows;
  int64_t steps, in_rows, in_columns, channels, splits, split, row_stride, stride, padding_rows, padding, columns;
  const Segment* segments;
  int64_t segment_count;
  // the row of zeros that fills up fours
  int64_t zero;
  // output positions, row by row
  int64_t first, positions;
  uint16_t *eights, *fours;
  uint32_t *eight_slots, *four_slots;
  // per slot: how many rows it has added up, the filling included
  int32_t* entries;
};

// Which rows to add up into which slots, eight rows or four at a time; rows count 64 bytes, slots 128, and twice as much
// where 128 outputs are summed.
struct Feed {
  const uint16_t *eights, *fours;
  const uint32_t *eight_slots, *four_slots;
  int64_t eight_count, four_count;
};

// Sums for 64 or 128 outputs along a feed. A row of weights holds `excess` more than each, as bytes, so that a vector of
// them can be taken for words: of each vector `low` sums whole words and `high` the upper bytes. Where two weights fit a
// byte (`pairs`) two rows are added first. The sums are exact as long as they fit 16 bits.
struct Gather {
  const uint8_t* weight;
  Feed feed;
  // `cold`: few slots, so that rows come from afar, and those ahead are asked for
  bool pairs, wide, cold;
  // [slot][vector][low, high]
  uint8_t* sums;
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

// What `Settle` takes: one charge a step, of 32 bits.
inline bool is_usual(const Fire& p) { return p.repeats == 1 && !p.wide && p.rungs <= 16; }

// Sums become integers, y = (sum << shift) + bias + other, and these spikes, for all steps of a tile of positions.
// Rows and steps count elements from one position, or step, to the next; a step of 0 stays as it is over time.
struct Settle {
  // the sums of a `Gather` and what they have too much, per slot; or finished ones of 32 bits
  const uint8_t* gathered;
  bool wide;
  const int32_t* entries;
  int32_t excess;
  const int32_t* sums;
  int64_t sums_row, sums_step;
  // none: the sums are finished
  const int32_t *shift, *bias;
  int64_t bias_row;
  const int32_t* other;
  int64_t other_row, other_step;
  int32_t* result;
  int64_t result_row, result_step;
  // where there is a neuron; the membranes before the first step and after the last stand in `state`, if that is there
  const Fire* fire;
  int32_t* state;
  int64_t state_row;
  uint8_t* spikes;
  int64_t spikes_row, spikes_step;
  bool bits;
  int64_t positions, outputs, steps, sum_steps;
};

// y[n][m] = sum_k a[n][k] b[k][m] for bytes a, whose strides are free. Rows of b have `b_row` words, whole vectors of
// them, and after each `product_rows` of them there is one of zeros; those of y begin `y_row` numbers apart and have
// `columns`. `narrow`: all sums fit 16 bits.
constexpr int64_t product_rows = 64;
struct Product {
  int64_t rows, inner, columns;
  const uint8_t* a;
  int64_t a_row, a_inner;
  const int16_t* b;
  int64_t b_row;
  bool binary, narrow;
  int32_t* y;
  int64_t y_row;
};

// y[n][m] += sum_k a[k][n] b[k][m] for bytes a and b, of which one k lies side by side; the sums over these k fit a byte.
// Rows of y have `y_row` words, and room for whole tiles of `product_rows` rows and columns.
struct Coincidences {
  int64_t rows, inner, columns;
  const uint8_t* a;
  int64_t a_inner;
  const uint8_t* b;
  int64_t b_inner;
  bool binary;
  int16_t* y;
  int64_t y_row;
};

struct Kernels {
  const char* name;
  // of a vector, which decides how rows of weights for `Gather` are packed
  int64_t vector_bytes;
  // whether a sum of four products of bytes is one instruction
  bool dots;
  void (*dense)(const Dense&);
  void (*interleave)(const Interleave&);
  // how many pieces its numbers take
  int64_t (*pieces)(const Cut&);
  void (*cut)(const Cut&);
  void (*depthwise)(const Depthwise&);
  // returns how many places there are; may write 64 more
  int64_t (*list)(const Listing&, uint16_t* places, int32_t* starts);
  // fills in a feed; the arrays may be written 64 elements past their end. Returns the most entries of a slot.
  int32_t (*feed)(const Feeding&, Feed&);
  void (*gather)(const Gather&);
  // sums of a `Gather` of which each slot has `entries`, as 32 bits: y[slot][output], or added to it
  void (*widen_sums)(const uint8_t* sums, bool wide, int64_t slots, const int32_t* entries, int32_t excess, bool adds, int32_t* y);
  void (*settle)(const Settle&);
  // any neuron, one step; v holds numbers of 64 bits where membranes are wide
  void (*fire)(const Fire&, int64_t count, const int32_t* x, void* v, uint8_t* y);
  // membranes at rest
  void (*rest)(const Fire&, int64_t count, void* v);
  void (*add)(int64_t count, const int32_t* a, const int32_t* b, int32_t* y);
  void (*shift)(int64_t count, const int32_t* x, int left, int32_t* y);
  void (*widen)(int64_t count, const uint8_t* x, int32_t* y);
  // bytes 0 and 1 of `count` bits, the lowest first
  void (*spread)(int64_t count, const uint8_t* bits, uint8_t* y);
  // the sum of `count` bytes, or of the bits in them
  int64_t (*sum)(int64_t count, const uint8_t* x, bool bits);
  void (*product)(const Product&);
  void (*coincidences)(const Coincidences&);
};

// The instruction sets that were built and that this machine has, the widest last.
std::vector<std::string> levels_here();
// std::invalid_argument for one that is not among them
const Kernels& kernels_of(const std::string& level);

}  // namespace spikedrive::engine
