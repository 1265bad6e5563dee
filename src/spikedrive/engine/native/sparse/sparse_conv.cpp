#include "sparse_conv.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>

namespace spikedrive::engine {

namespace {

// Places of sites by their coordinates: open addressing over a table at most half full.
class Sites {
 public:
  Sites(const int32_t* coordinates, int64_t count, int64_t axes) : coordinates_(coordinates), axes_(axes) {
    size_t size = 16;
    while (size < 2 * static_cast<size_t>(count)) size *= 2;
    table_.assign(size, -1);
    for (int64_t n = 0; n < count; ++n) {
      int32_t& place = slot(coordinates + n * axes);
      if (place >= 0) {
        std::string words;
        for (int64_t i = 0; i < axes; ++i) words += (i ? ", " : "") + std::to_string(coordinates[n * axes + i]);
        throw std::invalid_argument("A rule-book got the site (" + words + ") twice, at " + std::to_string(place) + " and " +
                                    std::to_string(n) + "; each site is there once. Add up what fired there first.");
      }
      place = static_cast<int32_t>(n);
    }
  }

  // The place of a site, or -1.
  int32_t find(const int32_t* site) { return slot(site); }

 private:
  const int32_t* coordinates_;
  int64_t axes_;
  std::vector<int32_t> table_;

  int32_t& slot(const int32_t* site) {
    uint64_t mixed = 0;
    for (int64_t i = 0; i < axes_; ++i) {
      mixed = (mixed ^ static_cast<uint32_t>(site[i])) * 0x9e3779b97f4a7c15;
      mixed ^= mixed >> 29;
    }
    for (size_t at = mixed & (table_.size() - 1);; at = (at + 1) & (table_.size() - 1)) {
      int32_t& place = table_[at];
      if (place < 0 || std::equal(site, site + axes_, coordinates_ + place * axes_)) return place;
    }
  }
};

// vectors of this size are there on every processor
using Eight = int16_t __attribute__((vector_size(16)));

// totals += the `count` rows of 8 V weights at `rows`, of which no more than `most` are summed in 16 bits
template <int V>
void add_rows(const int16_t* weight, const int32_t* rows, int64_t count, int64_t most, int32_t* totals) {
  for (int64_t done = 0; done < count;) {
    const int64_t end = std::min(done + most, count);
    Eight sums[V] = {};
    for (; done < end; ++done) {
      const int16_t* row = weight + rows[done] * 8 * V;
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        Eight added;
        std::memcpy(&added, row + 8 * v, sizeof added);
        sums[v] += added;
      }
    }
    int16_t flat[8 * V];
    std::memcpy(flat, sums, sizeof flat);
    for (int k = 0; k < 8 * V; ++k) totals[k] += flat[k];
  }
}

// Every channel of every site as often as it fired; those of site n stand at [starts[n], starts[n + 1]).
struct Fired {
  std::vector<int64_t> starts;
  std::vector<int32_t> channels;

  Fired(const uint8_t* spikes, int64_t sites, int64_t count) : starts(sites + 1) {
    for (int64_t n = 0; n < sites; ++n)
      starts[n + 1] = starts[n] + std::accumulate(spikes + n * count, spikes + (n + 1) * count, int64_t{0});
    channels.resize(starts[sites]);
    int32_t* next = channels.data();
    for (int64_t n = 0; n < sites; ++n)
      for (int64_t c = 0; c < count; ++c)
        for (uint8_t times = spikes[n * count + c]; times; --times) *next++ = static_cast<int32_t>(c);
  }
};

}  // namespace

Rules::Rules(const int32_t* coordinates, int64_t sites, int64_t axes, const std::vector<int64_t>& kernel)
    : sites(sites), starts(sites + 1) {
  Sites places(coordinates, sites, axes);
  for (const int64_t size : kernel) taps *= size;
  std::vector<int32_t> near(axes);
  for (int64_t n = 0; n < sites; ++n) {
    const int32_t* site = coordinates + n * axes;
    near[0] = site[0];
    for (int64_t t = 0; t < taps; ++t) {
      bool inside = true;
      // the last axis moves fastest
      for (int64_t axis = axes - 1, rest = t; axis > 0; rest /= kernel[--axis]) {
        const int64_t size = kernel[axis - 1], at = site[axis] + rest % size - size / 2;
        inside = inside && at >= INT32_MIN && at <= INT32_MAX;
        near[axis] = static_cast<int32_t>(at);
      }
      const int32_t found = inside ? places.find(near.data()) : -1;
      if (found < 0) continue;
      tap.push_back(static_cast<int32_t>(t));
      input.push_back(found);
    }
    starts[n + 1] = static_cast<int64_t>(tap.size());
  }
}

SparseConv::SparseConv(const int8_t* weight, int64_t outputs, int64_t channels, int64_t taps, const int32_t* shift,
                       const int32_t* bias)
    : outputs_(outputs), channels_(channels), taps_(taps), block_(outputs > 32 ? 64 : outputs > 16 ? 32 : 16),
      shift_(shift, shift + outputs), bias_(bias, bias + outputs) {
  weight_.assign((outputs + block_ - 1) / block_ * taps * channels * block_, 0);
  int64_t largest = 1;
  for (int64_t k = 0; k < outputs; ++k)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t t = 0; t < taps; ++t) {
        const int16_t value = weight[(k * channels + c) * taps + t];
        largest = std::max<int64_t>(largest, value < 0 ? -value : value);
        weight_[((k / block_ * taps + t) * channels + c) * block_ + k % block_] = value;
      }
  most_ = INT16_MAX / largest;
}

void SparseConv::run(const Rules& rules, const uint8_t* spikes, int32_t* y, int threads) const {
  const Fired fired(spikes, rules.sites, channels_);
  int64_t longest = 0;
  for (int64_t n = 0; n < rules.sites; ++n) {
    int64_t count = 0;
    for (int64_t r = rules.starts[n]; r < rules.starts[n + 1]; ++r)
      count += fired.starts[rules.input[r] + 1] - fired.starts[rules.input[r]];
    longest = std::max(longest, count);
  }
  const int64_t workers = std::max<int64_t>(1, std::min<int64_t>(threads, rules.sites));
  // for each worker the rows of weights that a site adds up
  std::vector<int32_t> memory(workers * longest);
  const auto site = [&](int64_t n, int32_t* rows) {
    int64_t count = 0;
    for (int64_t r = rules.starts[n]; r < rules.starts[n + 1]; ++r) {
      const int32_t first = rules.tap[r] * static_cast<int32_t>(channels_), in = rules.input[r];
      for (int64_t at = fired.starts[in]; at < fired.starts[in + 1]; ++at) rows[count++] = first + fired.channels[at];
    }
    for (int64_t first = 0; first < outputs_; first += block_) {
      const int16_t* weight = weight_.data() + first * taps_ * channels_;
      int32_t totals[64] = {};
      if (block_ == 64) add_rows<8>(weight, rows, count, most_, totals);
      else if (block_ == 32) add_rows<4>(weight, rows, count, most_, totals);
      else add_rows<2>(weight, rows, count, most_, totals);
      for (int64_t k = 0; k < std::min(block_, outputs_ - first); ++k)
        y[n * outputs_ + first + k] =
            static_cast<int32_t>(static_cast<uint32_t>(totals[k]) << shift_[first + k]) + bias_[first + k];
    }
  };
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(workers)) if (workers > 1)
  for (int64_t w = 0; w < workers; ++w)
    for (int64_t n = w * rules.sites / workers; n < (w + 1) * rules.sites / workers; ++n)
      site(n, memory.data() + w * longest);
}

}  // namespace spikedrive::engine
