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
  std::vector<Listed> rows;
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

// For a tile of positions one feed a block of weights. Sums of blocks of one phase fit 16 bits together.
struct Feeds {
  std::vector<std::unique_ptr<Buffer>> memory;
  std::vector<Feed> feeds;
  std::vector<int> phase;
  // [phase][slot]
  std::vector<std::unique_ptr<Buffer>> entries;
};

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

inline Feeds feeds_of(const Kernels& kernels, const Weights& w, const Geometry& map, const Lists& lists, int64_t steps, int64_t first, int64_t count) {
  Feeds made;
  const int64_t slots = steps * count;
  int32_t entered = 0;
  const auto buffer = [](int64_t bytes) { return std::make_unique<Buffer>(bytes + 256); };
  std::unique_ptr<Buffer> mine = buffer(slots * 4);
  for (const Block& block : w.blocks) {
    int64_t most = slots * 8;
    for (int64_t t = 0; t < steps; ++t) most += most_places(block, w, map, lists.rows.data() + t * map.in_rows, first, count);
    auto rows = buffer((most + slots * 4) * 2), into = buffer((most / 8 + slots) * 4 + 256);
    auto* eights = rows->as<uint16_t>();
    auto* eight_slots = into->as<uint32_t>();
    Feeding feeding{lists.rows.data(), steps, map.in_rows, map.in_columns, w.channels, w.splits, w.split, map.row_stride, map.stride,
                    map.padding_rows, map.padding, map.columns, block.segments.data(),
                    static_cast<int64_t>(block.segments.size()), block.rows, first, count, eights, eights + most + 64,
                    eight_slots, eight_slots + most / 8 + 32, mine->as<int32_t>()};
    Feed feed;
    const int32_t entries = kernels.feed(feeding, feed);
    made.memory.push_back(std::move(rows));
    made.memory.push_back(std::move(into));
    made.feeds.push_back(feed);
    if (made.entries.empty() || entered + entries > w.most) {
      made.entries.push_back(std::move(mine));
      mine = buffer(slots * 4);
      entered = entries;
    } else {
      auto *sum = made.entries.back()->as<int32_t>(), *more = mine->as<int32_t>();
      for (int64_t i = 0; i < slots; ++i) sum[i] += more[i];
      entered += entries;
    }
    made.phase.push_back(static_cast<int>(made.entries.size()) - 1);
  }
  return made;
}

// The sums of 64 or 128 outputs, those of `part`, in the slots of the feeds: in `sums`, or of 32 bits in `wide_sums`
// where they took several phases.
inline void gather_part(const Kernels& kernels, const Weights& w, const Feeds& feeds, int64_t part, int64_t slots, uint8_t* sums, int32_t* wide_sums) {
  const bool wide = w.wide(part * 2 * group);
  const int64_t width = wide ? 2 * group : group;
  const uint8_t* weight = w.gathered() + part * w.part_rows * 2 * group;
  const auto phases = static_cast<int>(feeds.entries.size());
  std::memset(sums, 0, slots * width * 2);
  for (size_t i = 0; i < w.blocks.size(); ++i) {
    kernels.gather({weight + w.blocks[i].offset * width, feeds.feeds[i], w.pairs, wide, sums});
    const bool last = i + 1 == w.blocks.size() || feeds.phase[i + 1] != feeds.phase[i];
    if (phases == 1 || !last) continue;
    kernels.widen_sums(sums, wide, slots, feeds.entries[feeds.phase[i]]->as<int32_t>(), w.excess, feeds.phase[i] > 0, wide_sums);
    std::memset(sums, 0, slots * width * 2);
  }
}

}  // namespace spikedrive::engine
