// A stage: one layer, or none, and the sums and the neuron that follow it, over tiles of positions that stay in the
// caches while all steps pass.
#pragma once

#include <memory>

#include "kernels/costs.hpp"
#include "kernels/kernels.hpp"
#include "lists.hpp"
#include "parallel.hpp"
#include "views.hpp"
#include "weights.hpp"

namespace spikedrive::engine {

// What one run of a stage reads and writes. Positions are the places of a map or the rows of a matrix; each holds
// `outputs` integers side by side.
struct StageRun {
  const Kernels* kernels;
  int threads;
  int64_t positions, outputs, batch, steps;
  // the layer's input: bytes or bits with channels side by side; or, without a layer, what the chain begins with
  const Weights* weights = nullptr;
  Tensor input;
  Geometry map;
  bool binary = false;
  // where the sums of the layer are kept, if they are
  const Tensor* sums = nullptr;

  struct Link {
    // a neuron; or the other operand of a sum; or a shift by `left`
    const Fire* fire = nullptr;
    const Tensor* other = nullptr;
    int left = 0;
    const Tensor* result = nullptr;
    // the membranes before the first step and after the last, (batch, positions, outputs), where they are kept
    uint8_t* state = nullptr;
  };
  List<Link> chain;
  // gets what the choice between lists and dense tiles rests on, where somebody asks for it and there is one
  Amounts* amounts = nullptr;
};

// Whether sums, what is added to them and a neuron are one pass.
inline bool settles(const StageRun& p) {
  size_t i = 0;
  if (i < p.chain.size() && p.chain[i].other) {
    if (p.chain[i].other->type != Type::i32 || p.sums) return false;
    ++i;
  }
  if (i < p.chain.size() && p.chain[i].fire && is_usual(*p.chain[i].fire)) ++i;
  return i == p.chain.size() && (p.weights || p.input.type == Type::i32);
}

namespace detail {

// The maps of all steps of one sample as bytes, with a border of zeros; itself where it is so already.
struct Bordered {
  std::unique_ptr<Buffer> memory;
  List<const uint8_t*> steps;
  int64_t row = 0;
};

inline bool copies(const StageRun& p) { return p.map.padding || p.map.padding_rows || p.input.type == Type::bits; }

inline Bordered bordered(const StageRun& p, int64_t b) {
  Bordered made;
  const Geometry& map = p.map;
  const bool bits = p.input.type == Type::bits;
  const int64_t channels = p.weights->depthwise ? p.weights->outputs : p.weights->channels;
  const int64_t width = map.in_columns * channels, row = width + 2 * map.padding * channels;
  const int64_t rows = map.in_rows + 2 * map.padding_rows;
  made.row = row;
  if (copies(p)) made.memory = std::make_unique<Buffer>(p.input.steps * rows * row);
  for (int64_t t = 0; t < p.input.steps; ++t) {
    const uint8_t* x = p.input.at<uint8_t>(t, b);
    if (!made.memory) {
      made.steps.push_back(x);
      continue;
    }
    uint8_t* to = made.memory->data() + t * rows * row;
    made.steps.push_back(to);
    if (rows > map.in_rows || row > width) std::memset(to, 0, rows * row);
    for (int64_t r = 0; r < map.in_rows; ++r) {
      uint8_t* into = to + (r + map.padding_rows) * row + map.padding * channels;
      if (!bits) {
        std::memcpy(into, x + r * width, width);
        continue;
      }
      for (int64_t c = 0; c < map.in_columns; ++c)
        p.kernels->spread(channels, x + (r * map.in_columns + c) * p.input.position_bytes, into + c * channels);
    }
  }
  return made;
}

// Pairs of an output and a tap along an axis that meet within the map.
inline double pairs_within(int64_t outputs, int64_t taps, int64_t stride, int64_t padding, int64_t size) {
  int64_t pairs = 0;
  for (int64_t tap = 0; tap < taps; ++tap) {
    const int64_t first = std::max<int64_t>(padding - tap + stride - 1, 0) / stride;
    const int64_t end = std::min(outputs, std::max<int64_t>(size + padding - tap + stride - 1, 0) / stride);
    pairs += std::max<int64_t>(end - first, 0);
  }
  return static_cast<double>(pairs);
}

// What lists of `fired` places take, and what the dense layer does, for one sample.
inline Amounts amounts_of(const StageRun& p, double fired) {
  const Weights& w = *p.weights;
  const Geometry& map = p.map;
  const auto in_positions = static_cast<double>(map.in_rows * map.in_columns);
  const double values = in_positions * static_cast<double>(w.channels * p.input.steps);
  const double slots = static_cast<double>(map.rows * map.columns * p.input.steps);
  Amounts made;
  // the kernel halves and quarters its last group
  const int64_t rest = w.outputs % group, last = rest > group / 2 ? group : rest > group / 4 ? group / 2 : rest ? group / 4 : 0;
  made.dense[cost::dense_product] = slots * static_cast<double>((w.outputs - rest + last) * w.rows * w.length);
  const int64_t dense_blocks = w.length < dense_block ? (w.rows + dense_block / w.length - 1) / (dense_block / w.length)
                                                     : w.rows * ((w.length + dense_block - 1) / dense_block);
  made.dense[cost::dense_sums] = slots * static_cast<double>(w.padded / group);
  made.dense[cost::dense_block_sums] = made.dense[cost::dense_sums] * static_cast<double>(dense_blocks);
  if (copies(p)) made.dense[cost::dense_value] = values;
  made.dense[cost::position] = made.lists[cost::position] = static_cast<double>(p.positions * w.padded / group);
  const int64_t together = w.together, columns = w.columns + (together - 1) * map.stride;
  const double pairs = pairs_within(map.rows, w.rows, map.row_stride, map.padding_rows, map.in_rows) *
                       pairs_within(map.columns / together, columns, map.stride * together, map.padding, map.in_columns);
  const double places = fired * pairs / in_positions, grouped = slots / static_cast<double>(together);
  const int64_t over = w.summed() % (2 * group), wide_parts = w.summed() / (2 * group) + (over > group), narrow_parts = over > 0 && over <= group;
  int64_t segments = 0;
  for (const Block& block : w.blocks) segments += static_cast<int64_t>(block.segments.size());
  made.lists[cost::listed_value] = values;
  if (p.input.type != Type::bits) made.lists[cost::listed_byte] = fired;
  made.lists[cost::fed_segment] = grouped * static_cast<double>(segments);
  made.lists[cost::fed_place] = places;
  made.lists[w.pairs ? cost::paired_row_128 : cost::row_128] = places * static_cast<double>(wide_parts);
  made.lists[w.pairs ? cost::paired_row_64 : cost::row_64] = places * static_cast<double>(narrow_parts);
  made.lists[cost::sums] = grouped * static_cast<double>(wide_parts + narrow_parts);
  made.lists[cost::block_sums] = made.lists[cost::sums] * static_cast<double>(w.blocks.size());
  return made;
}

// One sample's run.
class Sample {
 public:
  Sample(const StageRun& p, const Costs& costs, int64_t b) : p_(p), b_(b), map_(p.map) {
    if (!p.weights) return;
    const Weights& w = *p.weights;
    if (!w.depthwise && w.takes_lists()) {
      const int64_t total = fired(*p.kernels, p.input, b);
      const Amounts amounts = amounts_of(p, static_cast<double>(total));
      if (p.amounts) p.amounts->add(amounts);
      listed_ = amounts.favour_lists(costs);
      places_ = static_cast<double>(total) / static_cast<double>(map_.in_rows * map_.in_columns * p.input.steps);
      if (listed_) {
        together_ = w.together;
        map_.columns /= together_;
        map_.stride *= together_;
        lists_ = lists_of(*p.kernels, w, map_, p.input, b, total);
        return;
      }
    }
    // where windows are single positions, tiles turn their bits into bytes themselves
    spreads_ = p.input.type == Type::bits && map_.rows * map_.in_rows == 1 && map_.columns == map_.in_columns && w.rows * w.columns == 1;
    if (!spreads_) maps_ = bordered(p, b);
  }

  void run(int threads) {
    const int64_t positions = p_.positions / together_;
    // tiles of one size, one a thread at least
    const int64_t fits = std::max<int64_t>(1, fitting()), tiles = std::max<int64_t>((positions + fits - 1) / fits, threads);
    const int64_t tile = (positions + tiles - 1) / tiles;
    in_parallel((positions + tile - 1) / tile, threads, [&](int64_t k) { work(k * tile, std::min(tile, positions - k * tile)); });
  }

 private:
  const StageRun& p_;
  int64_t b_, together_ = 1;
  Geometry map_;
  bool listed_ = false, spreads_ = false;
  double places_ = 0;
  Lists lists_;
  Bordered maps_;

  static constexpr double feed_bytes = 2.3;
  // so few that rows of weights are not there from the slot before
  static constexpr int64_t few_slots = 4;

  // Taps of a window of the lists.
  double window() const {
    const Weights& w = *p_.weights;
    return static_cast<double>(w.rows * (w.columns + (w.together - 1) * p_.map.stride));
  }

  // Positions whose sums and feeds stay in the second cache.
  int64_t fitting() const {
    constexpr double bytes = 600 << 10;
    double each = 16.0 * static_cast<double>(p_.outputs);
    if (p_.weights) {
      const Weights& w = *p_.weights;
      const double sums = 2.0 * static_cast<double>(rounded_up(w.summed(), group)), feed = places_ * window() * feed_bytes;
      each = !listed_ ? 4.0 * static_cast<double>(w.padded)
             : by_blocks() ? sums + feed / static_cast<double>(w.blocks.size())
                           : 4.0 * group + feed;
      each *= static_cast<double>(p_.input.steps);
    }
    return static_cast<int64_t>(bytes / each);
  }

  // That element of a tensor of the sample at its first step.
  template <class R>
  static R* from(const Tensor* x, int64_t b, int64_t element) {
    return x ? x->at<R>(0, b) + element : nullptr;
  }
  static int64_t step_of(const Tensor* x) { return x && x->steps > 1 ? x->step_stride : 0; }

  void work(int64_t first, int64_t count) {
    const int64_t outputs = p_.outputs * together_, size = count * outputs, at = first * outputs;
    const bool direct = settles(p_);
    const int64_t sum_steps = p_.input.steps;
    // where sums go that something other than a neuron's pass reads
    std::unique_ptr<Buffer> finished;
    if (!direct && p_.weights) finished = std::make_unique<Buffer>(sum_steps * size * 4);
    Settle settle{};
    settle.positions = count;
    settle.sum_steps = sum_steps;
    settle.steps = direct ? p_.steps : sum_steps;
    const auto into = [&](int64_t output) {
      if (!direct) {
        settle.result = finished->as<int32_t>() + output;
        settle.result_row = outputs;
        settle.result_step = size;
        return;
      }
      const Tensor* kept = p_.sums;
      for (const auto& link : p_.chain) {
        if (link.other) {
          settle.other = from<int32_t>(link.other, b_, at + output);
          settle.other_row = outputs;
          settle.other_step = step_of(link.other);
          kept = link.result;
          continue;
        }
        settle.fire = link.fire;
        settle.state = link.state ? reinterpret_cast<int32_t*>(link.state) + b_ * p_.positions * p_.outputs + at + output : nullptr;
        settle.state_row = outputs;
        const Tensor& y = *link.result;
        settle.bits = y.type == Type::bits;
        const int64_t bytes = y.position_bytes * together_;
        settle.spikes = y.at<uint8_t>(0, b_) + (settle.bits ? first * bytes + output / 8 : at + output);
        settle.spikes_row = settle.bits ? bytes : outputs;
        settle.spikes_step = step_of(&y);
      }
      settle.result = from<int32_t>(kept, b_, at + output);
      settle.result_row = outputs;
      settle.result_step = step_of(kept);
    };
    if (!p_.weights) {
      if (direct) {
        settle.sums = from<int32_t>(&p_.input, b_, at);
        settle.sums_step = step_of(&p_.input);
        // all of them as one position
        settle.positions = 1;
        settle.outputs = size;
        into(0);
        p_.kernels->settle(settle);
        return;
      }
    } else if (listed_) {
      gathered(first, count, settle, into);
    } else {
      windowed(first, count, settle, into);
    }
    if (direct && p_.weights) return;
    chain(at, size, finished ? finished->as<int32_t>() : nullptr);
  }

  // Block by block over the sums of all outputs, where lists of what fired would fill the caches sooner than those sums;
  // else 128 outputs after the other, over feeds that are made once.
  bool by_blocks() const { return places_ * window() * feed_bytes > 2.0 * static_cast<double>(rounded_up(p_.weights->summed(), group)); }

  template <class Into>
  void gathered(int64_t first, int64_t count, Settle& settle, const Into& into) {
    const Weights& w = *p_.weights;
    const Kernels& kernels = *p_.kernels;
    const int64_t steps = p_.input.steps, slots = steps * count, parts = (w.summed() + 2 * group - 1) / (2 * group);
    const auto fed = [&](size_t i) { return feed_of(kernels, w, w.blocks[i], map_, lists_, steps, first, count); };
    List<BlockFeed> feeds;
    const bool by_blocks = this->by_blocks();
    for (size_t i = 0; !by_blocks && i < w.blocks.size(); ++i) feeds.push_back(fed(i));
    const int64_t at_once = by_blocks ? parts : 1;
    const Buffer sums(at_once * slots * 4 * group), entries(slots * 4);
    std::unique_ptr<Buffer> wide_sums;
    auto* entered = entries.as<int32_t>();
    const auto part_sums = [&](int64_t part) { return sums.data() + part % at_once * slots * 4 * group; };
    const auto part_wide = [&](int64_t part) { return wide_sums->as<int32_t>() + part % at_once * slots * 2 * group; };
    for (int64_t begin = 0; begin < parts; begin += at_once) {
      const auto each = [&](const auto& work) {
        for (int64_t part = begin; part < begin + at_once; ++part) work(part, w.wide(part * 2 * group));
      };
      std::memset(sums.data(), 0, at_once * slots * 4 * group);
      std::memset(entered, 0, slots * 4);
      int64_t most = 0;
      bool widened = false;
      // sums that 16 bits may not hold any longer go into 32
      const auto widen = [&] {
        if (!wide_sums) wide_sums = std::make_unique<Buffer>(at_once * slots * 8 * group);
        each([&](int64_t part, bool wide) {
          kernels.widen_sums(part_sums(part), wide, slots, entered, w.excess, widened, part_wide(part));
        });
        std::memset(sums.data(), 0, at_once * slots * 4 * group);
        std::memset(entered, 0, slots * 4);
        most = 0;
        widened = true;
      };
      for (size_t i = 0; i < w.blocks.size(); ++i) {
        const BlockFeed made = by_blocks ? fed(i) : BlockFeed{};
        const BlockFeed& feed = by_blocks ? made : feeds[i];
        if (most && most + feed.most > w.most) widen();
        const auto* more = feed.entries->as<int32_t>();
        for (int64_t n = 0; n < slots; ++n) entered[n] += more[n];
        most += feed.most;
        each([&](int64_t part, bool wide) {
          const uint8_t* weight = w.gathered() + part * w.part_rows * 2 * group + w.blocks[i].offset * (wide ? 2 : 1) * group;
          kernels.gather({weight, feed.feed, w.pairs, wide, slots <= few_slots, part_sums(part)});
        });
      }
      if (widened) widen();
      each([&](int64_t part, bool wide) {
        const int64_t output = part * 2 * group, width = wide ? 2 * group : group;
        settle.wide = wide;
        settle.outputs = std::min(width, w.summed() - output);
        settle.gathered = widened ? nullptr : part_sums(part);
        settle.sums = widened ? part_wide(part) : nullptr;
        settle.sums_row = width;
        settle.sums_step = count * width;
        settle.entries = entered;
        settle.excess = w.excess;
        settle.shift = w.gathered_shift.data() + output;
        settle.bias = w.bias_step ? w.bias.data() + first * w.bias_step + output : w.gathered_bias.data() + output;
        settle.bias_row = w.bias_step;
        into(output);
        kernels.settle(settle);
      });
    }
  }

  void spread(const uint8_t* bits, int64_t positions, uint8_t* bytes) const {
    const int64_t channels = p_.weights->channels, row = p_.input.position_bytes;
    const bool whole = row * 8 == channels;
    for (int64_t n = 0; n < (whole ? 1 : positions); ++n) p_.kernels->spread(whole ? positions * channels : channels, bits + n * row, bytes + n * channels);
  }

  template <class Into>
  void windowed(int64_t first, int64_t count, Settle& settle, const Into& into) {
    const Weights& w = *p_.weights;
    const int64_t steps = p_.input.steps;
    const int64_t channels = w.depthwise ? w.outputs : w.channels;
    const Buffer sums(steps * count * w.padded * 4), bytes(spreads_ ? steps * count * channels : 0);
    List<Run> runs;
    for (int64_t t = 0; t < steps; ++t) {
      uint8_t* const spread_to = bytes.data() + t * count * channels;
      if (spreads_) spread(p_.input.at<uint8_t>(t, b_) + first * p_.input.position_bytes, count, spread_to);
      for (int64_t done = 0; done < count;) {
        const int64_t r = (first + done) / map_.columns, x = (first + done) % map_.columns;
        const int64_t columns = std::min(count - done, map_.columns - x);
        const uint8_t* at = spreads_ ? spread_to : maps_.steps[t] + r * map_.row_stride * maps_.row + x * map_.stride * channels;
        if (w.depthwise)
          p_.kernels->depthwise({at, map_.dilation_rows * maps_.row, map_.stride * channels, w.rows, w.columns,
                                 map_.dilation * channels, channels, w.taps.data(), p_.binary, w.narrow, columns,
                                 sums.as<int32_t>() + (t * count + done) * w.padded});
        else
          runs.push_back({at, columns});
        done += columns;
      }
    }
    if (!w.depthwise)
      p_.kernels->dense({runs.data(), static_cast<int64_t>(runs.size()), w.rows, w.length, 4, maps_.row, map_.stride * channels,
                         w.dense(), w.dense_stride, w.outputs, sums.as<int32_t>(), w.padded});
    settle.sums = sums.as<int32_t>();
    settle.sums_row = w.padded;
    settle.sums_step = count * w.padded;
    settle.outputs = w.outputs;
    settle.shift = w.shift.data();
    settle.bias = w.bias.data() + first * w.bias_step;
    settle.bias_row = w.bias_step;
    into(0);
    p_.kernels->settle(settle);
  }

  // What follows, one link after the other and step by step.
  void chain(int64_t at, int64_t size, const int32_t* sums) {
    const Kernels& kernels = *p_.kernels;
    const Buffer begun(size * 4), wide(size * 4), added(size * 8), own(size * 8);
    int32_t *const even = added.as<int32_t>(), *const odd = even + size;
    const auto membranes = [&](const StageRun::Link& link) -> uint8_t* {
      if (!link.state) return own.data();
      return link.state + (b_ * p_.positions * p_.outputs + at) * (link.fire->wide ? 8 : 4);
    };
    for (const auto& link : p_.chain)
      if (link.fire && !link.state) kernels.rest(*link.fire, size, own.data());
    const int32_t* begin = nullptr;
    for (int64_t t = 0; t < p_.steps; ++t) {
      if (t == 0 || p_.input.steps > 1) {
        if (sums) {
          begin = sums + t * size;
          if (p_.sums) std::copy(begin, begin + size, p_.sums->at<int32_t>(t, b_) + at);
        } else if (p_.input.type == Type::u8) {
          kernels.widen(size, p_.input.at<uint8_t>(t, b_) + at, begun.as<int32_t>());
          begin = begun.as<int32_t>();
        } else {
          begin = p_.input.at<int32_t>(t, b_) + at;
        }
      }
      const int32_t* now = begin;
      for (const auto& link : p_.chain) {
        if (link.fire) {
          kernels.fire(*link.fire, size, now, membranes(link), link.result->at<uint8_t>(t, b_) + at);
          continue;
        }
        auto* y = link.result ? link.result->at<int32_t>(t, b_) + at : (&link - p_.chain.data()) % 2 ? odd : even;
        if (!link.other) {
          kernels.shift(size, now, link.left, y);
        } else {
          const int32_t* other = wide.as<int32_t>();
          if (link.other->type == Type::u8) kernels.widen(size, link.other->at<uint8_t>(t, b_) + at, wide.as<int32_t>());
          else other = link.other->at<int32_t>(t, b_) + at;
          kernels.add(size, now, other, y);
        }
        now = y;
      }
    }
  }
};

}  // namespace detail

inline void run_stage(const StageRun& p, const Costs& costs) {
  const bool split = p.batch < p.threads || p.threads == 1;
  detail::in_parallel(p.batch, split ? 1 : p.threads, [&](int64_t b) { detail::Sample(p, costs, b).run(split ? p.threads : 1); });
}

}  // namespace spikedrive::engine
