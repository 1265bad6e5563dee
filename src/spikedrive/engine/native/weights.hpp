// Weights of a convolution or linear layer, packed once for each kernel that may run it.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/kernels.hpp"
#include "program.hpp"
#include "tensor.hpp"

namespace spikedrive::engine {

inline int64_t integer_at(const Array& array, int64_t i) {
  const uint8_t* p = array.data + i * (array.bits / 8);
  const auto as = [&](auto kind) {
    std::memcpy(&kind, p, sizeof(kind));
    return static_cast<int64_t>(kind);
  };
  switch (array.bits) {
    case 8: return as(int8_t{});
    case 16: return as(int16_t{});
    case 32: return as(int32_t{});
    default: return as(int64_t{});
  }
}

inline int64_t count_of(const Array& array) {
  int64_t count = 1;
  for (const int64_t n : array.shape) count *= n;
  return count;
}

inline int64_t rounded_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Rows of weights that stay in the first cache while the slots of a tile pass: some taps, for some channels.
struct Block {
  std::vector<Segment> segments;
  int64_t rows = 0;
  // rows of the blocks before it, each with its row of zeros
  int64_t offset = 0;
};

// One layer's weights. The forms that kernels read are made when a kernel first asks for them, so that a layer that
// always takes one kernel holds one.
struct Weights {
  Array given;
  FileBytes file;
  int64_t outputs = 0, padded = 0, channels = 0, rows = 1, columns = 1, step = 1;
  bool depthwise = false;
  // a depthwise layer whose sums fit 16 bits
  bool narrow = false;
  std::vector<int32_t> shift, bias;
  // 0: one bias an output; else one a position too, position by position
  int64_t bias_step = 0;
  // for `Dense`: bytes of a kernel row, rounded up to whole fours
  int64_t length = 0, dense_stride = 0;
  // for `Depthwise`
  std::vector<int16_t> taps;
  // for `Gather`: `together` output columns are summed as one, under a kernel that is as much wider; their outputs
  // stand side by side, 128 or 64 of them to a part
  int64_t together = 1, splits = 1, split = 0, part_rows = 0, vector_bytes = 16;
  std::vector<Block> blocks;
  std::vector<int32_t> gathered_shift, gathered_bias;
  bool pairs = false;
  // weights hold so much more than they are
  int32_t excess = 128;
  // how many weights of one output may be summed, as often as a place may fire, before 16 bits do not hold the sum
  int64_t most = 0;

  bool takes_lists() const { return !blocks.empty(); }
  int64_t summed() const { return outputs * together; }
  // whether the outputs from `output` on are 128 to a row
  bool wide(int64_t output) const { return summed() - output > group; }
  int64_t weight(int64_t k, int64_t c, int64_t i, int64_t j) const {
    return integer_at(given, ((k * channels + c) * rows + i) * columns + j);
  }
  const int8_t* dense() const;
  // [part][block][row][output], even bytes of a vector its first half
  const uint8_t* gathered() const;

 private:
  // the file's own weights, which nobody reads from here on
  void release_given() const { file.release(given.data, count_of(given) * given.bits / 8); }

  mutable std::once_flag dense_made_, gathered_made_;
  // rows begin where lines of the caches do
  mutable std::unique_ptr<Buffer> dense_, gathered_;
};

namespace detail {

// Rows of weights in one block, at most; half as many lines of the first cache each as outputs are summed.
constexpr int64_t block_rows = 384;

// Which taps and channels go into which block of at most `limit` rows, 16 or more.
inline void cut_into_blocks(Weights& w, int64_t columns, int64_t limit) {
  limit = limit / 16 * 16;
  w.splits = (w.channels + limit - 1) / limit;
  w.split = w.splits == 1 ? w.channels : rounded_up((w.channels + w.splits - 1) / w.splits, 16);
  w.splits = (w.channels + w.split - 1) / w.split;
  const int64_t taps = w.rows * columns, fitting = w.splits > 1 ? 1 : limit / w.channels;
  const int64_t count = (taps + fitting - 1) / fitting, each = (taps + count - 1) / count;
  int64_t offset = 0;
  for (int64_t first = 0; first < taps; first += each)
    for (int64_t s = 0; s < w.splits; ++s) {
      Block block;
      const int64_t channels = std::min(w.split, w.channels - s * w.split);
      for (int64_t tap = first; tap < std::min(first + each, taps);) {
        // one segment a kernel row, of which there are at most `most_segments`
        const int64_t row = tap / columns, column = tap % columns;
        const int64_t run = std::min({columns - column, first + each - tap, taps - tap});
        block.segments.push_back({static_cast<int32_t>(row), static_cast<int32_t>(column), static_cast<int32_t>(run),
                                  static_cast<int32_t>(s), static_cast<int32_t>(block.rows)});
        block.rows += run * channels;
        tap += run;
      }
      block.offset = offset;
      offset += block.rows + 1;
      w.blocks.push_back(std::move(block));
    }
  w.part_rows = offset;
}

// The most weights of one output, so many of each magnitude, whose sum surely fits 16 bits, where none counts more than
// `times`.
inline int64_t most_summed(const std::array<int64_t, 129>& magnitudes, int64_t times) {
  int64_t sum = 0, taken = 0;
  for (int64_t magnitude = 128; magnitude > 0; --magnitude) {
    const int64_t there = magnitudes[magnitude] * times, fitting = (INT16_MAX - sum) / magnitude;
    taken += std::min(there, fitting);
    if (fitting < there) return taken;
    sum += there * magnitude;
  }
  return INT32_MAX;
}

}  // namespace detail

inline const int8_t* Weights::dense() const {
  std::call_once(dense_made_, [&] {
    dense_ = std::make_unique<Buffer>(padded / 16 * dense_stride, Pool::weights());
    auto* made = dense_->as<int8_t>();
    std::fill_n(made, padded / 16 * dense_stride, int8_t{0});
    for (int64_t k = 0; k < outputs; ++k)
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j)
          for (int64_t c = 0; c < channels; ++c) {
            const int64_t along = j * channels + c;
            made[k / 16 * dense_stride + (i * length + along / 4 * 4) * 16 + k % 16 * 4 + along % 4] =
                static_cast<int8_t>(weight(k, c, i, j));
          }
    release_given();
  });
  return dense_->as<int8_t>();
}

inline const uint8_t* Weights::gathered() const {
  std::call_once(gathered_made_, [&] {
    const int64_t parts = (summed() + 2 * group - 1) / (2 * group);
    gathered_ = std::make_unique<Buffer>(parts * part_rows * 2 * group, Pool::weights());
    uint8_t* made = gathered_->data();
    std::fill_n(made, parts * part_rows * 2 * group, static_cast<uint8_t>(excess));
    for (int64_t output = 0; output < summed(); ++output) {
      const int64_t part = output / (2 * group), width = wide(part * 2 * group) ? 2 * group : group;
      const int64_t at = output % (2 * group), lane = at % vector_bytes, half = vector_bytes / 2;
      const int64_t byte = at - lane + (lane < half ? 2 * lane : 2 * (lane - half) + 1);
      const int64_t k = output % outputs, left = output / outputs * step;
      for (const Block& block : blocks)
        for (const Segment& segment : block.segments)
          for (int64_t j = 0; j < segment.columns; ++j) {
            const int64_t tap = segment.column + j - left;
            if (tap < 0 || tap >= columns) continue;
            const int64_t begin = segment.part * split, count = std::min(split, channels - begin);
            for (int64_t c = 0; c < count; ++c) {
              const int64_t row = part * part_rows * 2 * group + (block.offset + segment.first + j * count + c) * width;
              made[row + byte] = static_cast<uint8_t>(weight(k, begin + c, segment.row, tap) + excess);
            }
          }
    }
    release_given();
  });
  return gathered_->data();
}

// `op` of `file` is a Conv2d of one group or of as many as channels, or a Linear, with 8-bit weights, over inputs of at most
// `high` whose rows give `map_columns` output columns.
inline std::shared_ptr<const Weights> packed(const Op& op, const FileBytes& file, int64_t vector_bytes, int64_t high, int64_t map_columns) {
  auto made = std::make_shared<Weights>();
  Weights& w = *made;
  const bool conv = op.kind == Kind::Conv2d;
  w.given = op.weight;
  w.file = file;
  w.vector_bytes = vector_bytes;
  w.outputs = op.weight.shape[0];
  w.padded = rounded_up(w.outputs, group);
  w.channels = op.weight.shape[1];
  w.rows = conv ? op.weight.shape[2] : 1;
  w.columns = conv ? op.weight.shape[3] : 1;
  w.step = conv ? op.stride[1] : 1;
  w.depthwise = conv && op.groups > 1;
  const int64_t positions = count_of(op.bias) / w.outputs;
  w.bias_step = positions > 1 ? w.outputs : 0;
  w.shift.resize(w.outputs);
  for (int64_t k = 0; k < w.outputs; ++k) w.shift[k] = static_cast<int32_t>(integer_at(op.shift, k));
  w.bias.resize(positions * w.outputs);
  for (int64_t k = 0; k < w.outputs; ++k)
    for (int64_t p = 0; p < positions; ++p) w.bias[p * w.outputs + k] = static_cast<int32_t>(integer_at(op.bias, k * positions + p));
  if (w.depthwise) {
    w.taps.resize(w.rows * w.columns * w.outputs + 64);
    for (int64_t i = 0; i < w.rows; ++i)
      for (int64_t j = 0; j < w.columns; ++j)
        for (int64_t k = 0; k < w.outputs; ++k)
          w.taps[(i * w.columns + j) * w.outputs + k] = static_cast<int16_t>(w.weight(k, 0, i, j));
    w.narrow = w.rows * w.columns * 128 * std::max<int64_t>(high, 1) <= INT16_MAX;
    return made;
  }
  w.length = rounded_up(w.columns * w.channels, 4);
  w.dense_stride = w.rows * w.length * 16;
  int64_t largest = 0;
  const int64_t inputs = w.channels * w.rows * w.columns;
  high = std::max<int64_t>(high, 1);
  w.most = INT32_MAX;
  for (int64_t k = 0; k < w.outputs; ++k) {
    std::array<int64_t, 129> magnitudes{};
    for (int64_t i = 0; i < inputs; ++i) {
      const int64_t value = integer_at(op.weight, k * inputs + i), magnitude = value < 0 ? -value : value;
      ++magnitudes[magnitude];
      largest = std::max(largest, magnitude);
    }
    w.most = std::min(w.most, detail::most_summed(magnitudes, high));
  }
  // so few that the sums of any block fit
  const int64_t limit = std::min(detail::block_rows, w.most / high);
  if (limit < 16) return made;
  w.pairs = largest < 64;
  w.excess = w.pairs ? 64 : 128;
  // few outputs: as many columns as fill a vector, where the map's columns are so many times that
  if (conv && w.columns > w.step && w.outputs % 16 == 0 && !w.bias_step)
    while (w.outputs * w.together * 2 <= group && map_columns % (w.together * 2) == 0) w.together *= 2;
  detail::cut_into_blocks(w, w.columns + (w.together - 1) * w.step, limit);
  for (int64_t n = 0; n < w.together; ++n) w.gathered_shift.insert(w.gathered_shift.end(), w.shift.begin(), w.shift.end());
  if (!w.bias_step)
    for (int64_t n = 0; n < w.together; ++n) w.gathered_bias.insert(w.gathered_bias.end(), w.bias.begin(), w.bias.end());
  return made;
}

}  // namespace spikedrive::engine
