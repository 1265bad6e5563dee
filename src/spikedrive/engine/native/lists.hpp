// What fired, as lists of places, and the feeds that a tile of positions makes of them.
#pragma once

#include <memory>
#include <vector>

#include "tensor.hpp"
#include "weights.hpp"

namespace spikedrive::engine {

// How a layer's windows lie over its map; a matrix is one row of positions.
struct Geometry {
  int64_t rows = 1, columns = 1, in_rows = 1, in_columns = 1, row_stride = 1, stride = 1, padding_rows = 0, padding = 0, dilation_rows = 1,
          dilation = 1;
};

// The lists of all steps of one sample, a row of the map each.
struct Lists {
  std::unique_ptr<Buffer> places, starts;
  List<Listed> rows;
};

inline int64_t fired(const Kernels& kernels, const Tensor& x, int64_t b) {
  const bool bits = x.type == Type::bits;
  int64_t total = 0;
  for (int64_t t = 0; t < x.steps; ++t) total += kernels.sum(x.batch_stride, x.at<uint8_t>(t, b), bits);
  return total;
}

inline Lists lists_of(const Kernels& kernels, const Weights& w, const Geometry& map, const Tensor& x, int64_t b, int64_t total) {
  Lists made;
  const bool bits = x.type == Type::bits;
  const int64_t row_bytes = map.in_columns * (bits ? x.position_bytes : w.channels);
  const int64_t row_starts = map.in_columns * w.splits + 1;
  made.places = std::make_unique<Buffer>((total + 128) * 2);
  made.starts = std::make_unique<Buffer>(x.steps * map.in_rows * row_starts * 4);
  made.rows.reserve(x.steps * map.in_rows);
  auto* places = made.places->as<uint16_t>();
  auto* starts = made.starts->as<int32_t>();
  for (int64_t t = 0; t < x.steps; ++t)
    for (int64_t r = 0; r < map.in_rows; ++r, starts += row_starts) {
      made.rows.push_back({places, starts});
      places += kernels.list({x.at<uint8_t>(t, b) + r * row_bytes, bits, map.in_columns, w.channels, w.splits, w.split}, places, starts);
    }
  return made;
}

// The most places that the positions [first, first + count) of one step can take from a block.
inline int64_t most_places(const Block& block, const Weights& w, const Geometry& map, const Listed* rows, int64_t first, int64_t count) {
  int64_t most = 0;
  for (int64_t at = first; at < first + count;) {
    const int64_t r = at / map.columns, x = at % map.columns, end = std::min(map.columns, x + first + count - at);
    for (const Segment& segment : block.segments) {
      const int64_t row = r * map.row_stride + segment.row - map.padding_rows;
      const int64_t left = std::max<int64_t>(x * map.stride - map.padding + segment.column, 0);
      const int64_t right = std::min((end - 1) * map.stride - map.padding + segment.column + segment.columns, map.in_columns);
      if (row < 0 || row >= map.in_rows || left >= right) continue;
      const int32_t* starts = rows[row].starts;
      most += (starts[right * w.splits] - starts[left * w.splits]) * ((segment.columns + map.stride - 1) / map.stride);
    }
    at += end - x;
  }
  return most;
}

// What one block of weights adds up for a tile of positions.
struct BlockFeed {
  std::unique_ptr<Buffer> memory, entries;
  Feed feed{};
  // the most entries of a slot
  int32_t most = 0;
};

inline BlockFeed feed_of(const Kernels& kernels, const Weights& w, const Block& block, const Geometry& map, const Lists& lists,
                         int64_t steps, int64_t first, int64_t count) {
  const int64_t slots = steps * count;
  int64_t rows = slots * 8 + 64;
  for (int64_t t = 0; t < steps; ++t) rows += most_places(block, w, map, lists.rows.data() + t * map.in_rows, first, count);
  BlockFeed made;
  const int64_t fours = rounded_up(rows, 64), eight_slots = fours + slots * 4 + 64, four_slots = eight_slots + (rows / 8 + 64) * 2;
  made.memory = std::make_unique<Buffer>((four_slots + slots * 2 + 64) * 2);
  made.entries = std::make_unique<Buffer>(slots * 4);
  auto* memory = made.memory->as<uint16_t>();
  const Feeding feeding{lists.rows.data(), steps, map.in_rows, map.in_columns, w.channels, w.splits, w.split, map.row_stride,
                        map.stride, map.padding_rows, map.padding, map.columns, block.segments.data(),
                        static_cast<int64_t>(block.segments.size()), block.rows, first, count, memory, memory + fours,
                        reinterpret_cast<uint32_t*>(memory + eight_slots), reinterpret_cast<uint32_t*>(memory + four_slots),
                        made.entries->as<int32_t>()};
  made.most = kernels.feed(feeding, made.feed);
  return made;
}

}  // namespace spikedrive::engine
