// A stage: one layer, or none, and the sums and the neuron that follow it, over tiles of positions that stay in the
// caches while all steps pass.
#pragma once

#include <memory>

#include "kernels/kernels.hpp"
#include "views.hpp"
#include "weights.hpp"

namespace spikedrive::engine {

// What one run of a stage reads and writes. Positions are the places of a map or the rows of a matrix; each holds
// `outputs` integers side by side.
struct StageRun {
  const Kernels* kernels;
  int threads;
  int64_t positions, outputs, batch, steps;
  // the layer's input: bytes with channels side by side; or, without a layer, what the chain begins with
  const Weights* weights = nullptr;
  const Op* layer = nullptr;
  Tensor input;
  // of the layer's map; a matrix is one row
  int64_t rows = 1, columns = 1, in_rows = 1, in_columns = 1, stride = 1, padding_rows = 0, padding = 0, dilation_rows = 1,
          dilation = 1;
  bool binary = false, narrow = false;
  // where the sums of the layer are kept, if they are
  const Tensor* sums = nullptr;

  struct Link {
    // a neuron; or the other operand of a sum; or a shift by `left`
    const Fire* fire = nullptr;
    const Tensor* other = nullptr;
    int left = 0;
    const Tensor* result = nullptr;
    int64_t steps = 1;
  };
  std::vector<Link> chain;
};

// What the kernels cost, in nanoseconds, on the machine that they were measured on; decides between kernels that give
// the same integers. `row` is one place times 64 outputs, `pass` one run over the weights of one tap or kernel row.
struct Costs {
  double dense_mac = 0.006, dense_column = 3, sparse_row = 0.6, sparse_pass = 12, listed = 1.5;
};

namespace detail {

// The lists of what fired, a row of a map each, for all steps of one sample.
struct Lists {
  std::unique_ptr<Buffer> places;
  std::vector<int32_t> starts;
  std::vector<Fired> rows;
  int64_t count = 0;
};

inline Lists lists_of(const StageRun& p, int64_t b) {
  Lists made;
  const int64_t channels = p.weights->channels, width = p.in_columns * channels, steps = p.input.steps;
  int64_t total = 0;
  for (int64_t t = 0; t < steps; ++t)
    total += p.kernels->sum(p.in_rows * width, p.input.at<uint8_t>(t, b));
  made.count = total;
  made.places = std::make_unique<Buffer>((total + 16) * 4);
  made.starts.resize(steps * p.in_rows * (p.in_columns + 1));
  auto* next = made.places->as<uint32_t>();
  int32_t* start = made.starts.data();
  for (int64_t t = 0; t < steps; ++t)
    for (int64_t r = 0; r < p.in_rows; ++r) {
      const uint8_t* x = p.input.at<uint8_t>(t, b) + r * width;
      const uint32_t* begin = next;
      made.rows.push_back({begin, start});
      for (int64_t c = 0; c < p.in_columns; ++c) {
        *start++ = static_cast<int32_t>(next - begin);
        next += p.kernels->list(channels, x + c * channels, static_cast<uint32_t>(c * channels), next);
      }
      *start++ = static_cast<int32_t>(next - begin);
    }
  return made;
}

// The maps of all steps of one sample with a border of zeros; itself where there is none.
struct Bordered {
  std::unique_ptr<Buffer> memory;
  std::vector<const uint8_t*> steps;
  int64_t row = 0;
};

inline Bordered bordered(const StageRun& p, int64_t b) {
  Bordered made;
  const int64_t channels = p.weights->depthwise ? p.weights->outputs : p.weights->channels;
  const int64_t width = p.in_columns * channels, row = width + 2 * p.padding * channels;
  const int64_t rows = p.in_rows + 2 * p.padding_rows;
  made.row = row;
  if (p.padding || p.padding_rows) made.memory = std::make_unique<Buffer>(p.input.steps * rows * row);
  for (int64_t t = 0; t < p.input.steps; ++t) {
    const uint8_t* x = p.input.at<uint8_t>(t, b);
    if (!made.memory) {
      made.steps.push_back(x);
      continue;
    }
    uint8_t* to = made.memory->data() + t * rows * row;
    std::memset(to, 0, rows * row);
    for (int64_t r = 0; r < p.in_rows; ++r)
      std::memcpy(to + (r + p.padding_rows) * row + p.padding * channels, x + r * width, width);
    made.steps.push_back(to);
  }
  return made;
}

inline bool prefers_lists(const StageRun& p, int64_t b, const Costs& costs) {
  const Weights& w = *p.weights;
  const int64_t steps = p.input.steps, groups = w.padded / group;
  double fired = 0;
  for (int64_t t = 0; t < steps; ++t)
    fired += static_cast<double>(p.kernels->sum(p.in_rows * p.in_columns * w.channels, p.input.at<uint8_t>(t, b)));
  const double positions = static_cast<double>(p.rows) * p.columns * steps;
  const double windows = static_cast<double>(w.rows) * w.columns / (p.stride * p.stride);
  const double passes = w.rows * (w.columns * w.channels * group <= 14336 ? 1.0 : static_cast<double>(w.columns));
  const double dense = positions * groups * (group * w.rows * w.length * costs.dense_mac + costs.dense_column);
  const double lists = fired * (windows * groups * costs.sparse_row + costs.listed) + positions * groups * passes * costs.sparse_pass;
  return lists < dense;
}

}  // namespace detail

inline void run_stage(const StageRun& p, const Costs& costs) {
  const Kernels& kernels = *p.kernels;
  const int64_t width = p.weights ? p.weights->padded : p.outputs;
  // whole rows of a map, or as many rows of a matrix, of which sums and membranes fit the second cache
  const int64_t fitting = std::max<int64_t>(1, 32768 / width);
  const bool matrix = !p.weights || (p.rows == 1 && p.weights->columns == 1);
  const int64_t unit = matrix ? std::min(fitting, p.positions) : p.columns;
  const int64_t tile = std::max(unit, fitting / unit * unit), tiles = (p.positions + tile - 1) / tile;
  // sums that nothing else reads go straight into the neuron
  const bool fused = p.weights && !p.sums && p.chain.size() == 1 && p.chain[0].fire && is_usual(*p.chain[0].fire) &&
                     (p.input.steps > 1 || p.steps == 1);
  const auto sample = [&](int64_t b, int threads) {
    detail::Lists lists;
    detail::Bordered maps;
    bool listed = false;
    if (p.weights) {
      listed = !p.weights->depthwise && p.dilation == 1 && p.dilation_rows == 1 && detail::prefers_lists(p, b, costs);
      if (listed) lists = detail::lists_of(p, b);
      else maps = detail::bordered(p, b);
    }
    const auto layer = [&](int64_t t, int64_t first, int64_t count, int32_t* y) {
      const Weights& w = *p.weights;
      // a matrix is one row of which the tile is a part; of a map the tile is whole rows
      for (int64_t done = 0; done < count;) {
        const int64_t r = (first + done) / p.columns, x = (first + done) % p.columns;
        const int64_t columns = std::min(count - done, p.columns - x);
        int32_t* to = y + done * w.padded;
        done += columns;
        if (listed) {
          Fired window[64];
          for (int64_t i = 0; i < w.rows; ++i) {
            const int64_t at = r * p.stride + i - p.padding_rows;
            window[i] = at < 0 || at >= p.in_rows ? Fired{nullptr, nullptr} : lists.rows[t * p.in_rows + at];
            if (window[i].places) window[i].starts += x * p.stride;
          }
          kernels.sparse({window, w.rows, w.columns, w.channels, p.in_columns - x * p.stride, p.stride, p.padding,
                          w.sparse.data(), columns, w.outputs, w.most, to, x * p.stride});
          continue;
        }
        const int64_t channels = w.depthwise ? w.outputs : w.channels;
        const uint8_t* from = maps.steps[t] + r * p.stride * maps.row + x * p.stride * channels;
        if (w.depthwise)
          kernels.depthwise({from, p.dilation_rows * maps.row, p.stride * channels, w.rows, w.columns, p.dilation * channels,
                             channels, w.taps.data(), p.binary, p.narrow, columns, to});
        else
          kernels.dense({{from, w.rows, w.length, maps.row, p.stride * channels}, w.dense.data(), w.dense_stride, columns,
                         w.outputs, to});
      }
    };
    const auto work = [&](int64_t k) {
      const int64_t first = k * tile, count = std::min(tile, p.positions - first), size = count * p.outputs;
      const int64_t at = first * p.outputs;
      Buffer sums(p.weights ? count * width * 4 : 0), finished(size * 4), wide(size * 4), added(size * 8), membrane(size * 8);
      int32_t *const even = added.as<int32_t>(), *const odd = even + size;
      for (const auto& link : p.chain)
        if (link.fire) kernels.rest(*link.fire, size, membrane.data());
      const int32_t* begin = nullptr;
      for (int64_t t = 0; t < p.steps; ++t) {
        const bool fresh = t == 0 || p.input.steps > 1;
        if (p.weights && fresh) {
          auto* raw = sums.as<int32_t>();
          layer(t, first, count, raw);
          const Weights& w = *p.weights;
          const Finish rest{raw, width, w.shift.data(), w.bias.data() + (w.bias_step ? first * p.outputs : 0), w.bias_step,
                            count, p.outputs};
          if (fused) {
            kernels.finish_and_fire(rest, *p.chain[0].fire, membrane.data(), p.chain[0].result->at<uint8_t>(t, b) + at);
            continue;
          }
          auto* y = p.sums ? p.sums->at<int32_t>(t, b) + at : finished.as<int32_t>();
          kernels.finish(rest, y);
          begin = y;
        } else if (fresh) {
          if (p.input.type == Type::u8) {
            kernels.widen(size, p.input.at<uint8_t>(t, b) + at, finished.as<int32_t>());
            begin = finished.as<int32_t>();
          } else {
            begin = p.input.at<int32_t>(t, b) + at;
          }
        }
        const int32_t* now = begin;
        for (const auto& link : p.chain) {
          if (link.fire) {
            kernels.fire(*link.fire, size, now, membrane.data(), link.result->at<uint8_t>(t, b) + at);
            continue;
          }
          auto* y = link.result ? link.result->at<int32_t>(t, b) + at : (&link - p.chain.data()) % 2 ? odd : even;
          if (!link.other) {
            kernels.shift(size, now, link.left, y);
            now = y;
            continue;
          }
          const int32_t* other;
          if (link.other->type == Type::u8) {
            kernels.widen(size, link.other->at<uint8_t>(t, b) + at, wide.as<int32_t>());
            other = wide.as<int32_t>();
          } else {
            other = link.other->at<int32_t>(t, b) + at;
          }
          kernels.add(size, now, other, y);
          now = y;
        }
      }
    };
    if (threads == 1) {
      for (int64_t k = 0; k < tiles; ++k) work(k);
      return;
    }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t k = 0; k < tiles; ++k) work(k);
  };
  if (p.batch < p.threads || p.threads == 1) {
    for (int64_t b = 0; b < p.batch; ++b) sample(b, tiles > 1 ? p.threads : 1);
    return;
  }
#pragma omp parallel for schedule(dynamic) num_threads(p.threads)
  for (int64_t b = 0; b < p.batch; ++b) sample(b, 1);
}

}  // namespace spikedrive::engine
