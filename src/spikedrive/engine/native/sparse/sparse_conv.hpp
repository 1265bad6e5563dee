// Convolutions of which only the active sites of a sparse map exist, as inputs and as outputs: rule-books and their sums.
#pragma once

#include <cstdint>
#include <vector>

namespace spikedrive::engine {

// Which active sites lie under the taps of a kernel around each active site; serves every layer of that kernel. The
// rules of site n stand at [starts[n], starts[n + 1]), by tap.
struct Rules {
  int64_t sites = 0, taps = 1;
  std::vector<int64_t> starts;
  std::vector<int32_t> tap, input;

  // `coordinates` are (sites, axes) row by row, the batch index first; `kernel` has one odd size for each other axis.
  // std::invalid_argument for a site that is there twice.
  Rules(const int32_t* coordinates, int64_t sites, int64_t axes, const std::vector<int64_t>& kernel);
};

// The weights (outputs, channels, taps), packed for the additions.
class SparseConv {
 public:
  SparseConv(const int8_t* weight, int64_t outputs, int64_t channels, int64_t taps, const int32_t* shift, const int32_t* bias);

  int64_t outputs() const { return outputs_; }
  int64_t channels() const { return channels_; }
  int64_t taps() const { return taps_; }

  // y[n][k] = (sum of weight[k][c][tap] spikes[input][c] over the rules of n << shift[k]) + bias[k]: the weights of a
  // channel are added as often as it fired. No sum may leave 32 bits.
  void run(const Rules& rules, const uint8_t* spikes, int32_t* y, int threads) const;

 private:
  // outputs are worked on in blocks of 16, 32 or 64
  int64_t outputs_, channels_, taps_, block_;
  // how many weights may be summed before 16 bits no longer hold the sum
  int64_t most_;
  // [output / block][tap][channel][block], zero where padded
  std::vector<int16_t> weight_;
  std::vector<int32_t> shift_, bias_;
};

}  // namespace spikedrive::engine
