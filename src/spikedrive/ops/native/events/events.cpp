// Each clip writes its own places, so clips share threads, and every number of threads gives the same bits.
#include "events.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace spikedrive {
namespace {

constexpr int64_t none = std::numeric_limits<int64_t>::max();

// Below this many numbers, events and places together, one more thread costs more than it gains.
constexpr int64_t grain = 65536;

// One clip: where its events and its places are.
template <class T>
struct Clip {
  const EventBatch& e;
  int64_t index, first, last, plane, channels;
  double begin, length;

  Clip(const EventBatch& events, int64_t b, int64_t channels)
      : e(events), index(b), first(events.offsets[b]), last(events.offsets[b + 1]), plane(events.height * events.width),
        channels(channels), begin(static_cast<double>(static_cast<const T*>(events.begin)[b])),
        length(static_cast<double>(static_cast<const T*>(events.end)[b]) - begin) {}

  // from the beginning of the clip on
  double since(int64_t i) const { return static_cast<double>(static_cast<const T*>(e.t)[i]) - begin; }

  bool on_sensor(int64_t i) const {
    return static_cast<uint32_t>(e.x[i]) < static_cast<uint64_t>(e.width) &&
           static_cast<uint32_t>(e.y[i]) < static_cast<uint64_t>(e.height) && e.p[i] <= 1;
  }
  int64_t pixel(int64_t i) const { return e.y[i] * e.width + e.x[i]; }

  int64_t step_size() const { return channels * plane; }
  int64_t from_step_to_step() const { return e.clips * step_size(); }
  template <class Work>
  void for_steps(float* out, const Work& work) const {
    for (int64_t k = 0; k < e.steps; ++k) work(out + k * from_step_to_step() + index * step_size());
  }
};

template <class Work>
int64_t over_clips(const EventBatch& e, int64_t channels, const Work& work) {
  int64_t wrong = none;
  const int64_t worth = (e.offsets[e.clips] + e.steps * e.clips * channels * e.height * e.width) / grain;
  const int threads = static_cast<int>(std::min<int64_t>({e.threads, worth, e.clips}));
#pragma omp parallel for schedule(dynamic) num_threads(std::max(1, threads)) reduction(min : wrong)
  for (int64_t b = 0; b < e.clips; ++b) wrong = std::min(wrong, work(b));
  return wrong == none ? -1 : wrong;
}

// The largest whole q with q bin <= since, also where the quotient is rounded up to a whole number.
double whole_bins(double since, double bin) {
  const double q = std::floor(since / bin);
  return std::fma(-q, bin, since) < 0 ? q - 1 : q;
}

// Counts as whole numbers of 32 bits, which stand where their floats will stand.
void to_floats(float* data, int64_t count, int64_t levels) {
  const int32_t most = static_cast<int32_t>(std::min<int64_t>(levels ? levels : none, std::numeric_limits<int32_t>::max()));
  for (int64_t i = 0; i < count; ++i) {
    int32_t n;
    std::memcpy(&n, data + i, sizeof n);
    const float value = static_cast<float>(std::min(n, most));
    std::memcpy(data + i, &value, sizeof value);
  }
}

template <class T>
int64_t frames_of(const EventBatch& e, bool by_count, double bin, int64_t levels, float* out) {
  return over_clips(e, 2, [&](int64_t b) {
    const Clip<T> clip(e, b, 2);
    clip.for_steps(out, [&](float* step) { std::memset(step, 0, clip.step_size() * sizeof(float)); });
    int32_t* counts = reinterpret_cast<int32_t*>(out) + b * clip.step_size();
    const int64_t events = clip.last - clip.first, size = static_cast<int64_t>(std::min(bin, 1e18));
    const double steps = static_cast<double>(e.steps);
    for (int64_t i = clip.first; i < clip.last; ++i) {
      const double since = clip.since(i);
      if (!clip.on_sensor(i) || !(since >= 0) || (!bin && !(since <= clip.length))) return i;
      int64_t step;
      if (by_count) {
        step = bin ? (i - clip.first) / size : (i - clip.first) * e.steps / events;
        if (step >= e.steps) continue;
      } else if (bin) {
        const double bins = whole_bins(since, bin);
        if (!(bins < steps)) continue;
        step = static_cast<int64_t>(bins);
      } else {
        const double share = clip.length > 0 ? since / clip.length : 0;
        step = std::min(static_cast<int64_t>(share * steps), e.steps - 1);
      }
      ++counts[step * clip.from_step_to_step() + e.p[i] * clip.plane + clip.pixel(i)];
    }
    clip.for_steps(out, [&](float* step) { to_floats(step, clip.step_size(), levels); });
    return none;
  });
}

template <class T>
int64_t voxel_grid_of(const EventBatch& e, bool is_signed, float* out) {
  const int64_t channels = is_signed ? 1 : 2;
  return over_clips(e, channels, [&](int64_t b) {
    const Clip<T> clip(e, b, channels);
    clip.for_steps(out, [&](float* step) { std::memset(step, 0, clip.step_size() * sizeof(float)); });
    float* sums = out + b * clip.step_size();
    const double last = static_cast<double>(e.steps - 1);
    for (int64_t i = clip.first; i < clip.last; ++i) {
      const double since = clip.since(i);
      if (!clip.on_sensor(i) || !(since >= 0) || !(since <= clip.length)) return i;
      const double position = clip.length > 0 ? since / clip.length * last : 0;
      const int64_t step = static_cast<int64_t>(position);
      const double above = position - static_cast<double>(step);
      const float sign = is_signed && !e.p[i] ? -1.0f : 1.0f;
      float* place = sums + step * clip.from_step_to_step() + (is_signed ? 0 : e.p[i] * clip.plane) + clip.pixel(i);
      *place += sign * static_cast<float>(1 - above);
      if (step + 1 < e.steps) place[clip.from_step_to_step()] += sign * static_cast<float>(above);
    }
    return none;
  });
}

}  // namespace

int64_t event_frames(const EventBatch& e, bool by_count, double bin, int64_t levels, float* out) {
  return (e.real ? frames_of<double> : frames_of<int64_t>)(e, by_count, bin, levels, out);
}

int64_t event_voxel_grid(const EventBatch& e, bool is_signed, float* out) {
  return (e.real ? voxel_grid_of<double> : voxel_grid_of<int64_t>)(e, is_signed, out);
}

}  // namespace spikedrive
