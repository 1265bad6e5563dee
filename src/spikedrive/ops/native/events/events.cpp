// Each clip writes its own places, so clips share threads, and every number of threads gives the same bits.
#include "events.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>

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
  float* step(float* out, int64_t k) const { return out + k * from_step_to_step() + index * step_size(); }
  template <class Work>
  void for_steps(float* out, const Work& work) const {
    for (int64_t k = 0; k < e.steps; ++k) work(step(out, k));
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

// Events whose places are looked up, and asked for from memory, before the first of them is counted.
constexpr int64_t ahead = 32;

// Counts of one step take a byte each while events are counted, in the last quarter of the floats that they become: what
// is touched at random stays four times as small, and closer to the processor. A count past 255 starts again at 0, which
// `carries` notes by its place.
using Carries = std::unordered_map<const uint8_t*, int64_t>;

uint8_t* bytes_of(float* step, int64_t size) { return reinterpret_cast<uint8_t*>(step) + 3 * size; }

// The float that the count at `place` becomes.
float* float_of(float* out, const uint8_t* place, int64_t size) {
  const int64_t offset = place - reinterpret_cast<const uint8_t*>(out);
  return out + offset / (4 * size) * size + (offset % (4 * size) - 3 * size);
}

// In blocks that are read before they are written over: from byte 3 size + i on there are no floats yet.
void to_floats(float* step, int64_t size, int64_t most) {
  constexpr int64_t block = 64;
  const uint8_t limit = static_cast<uint8_t>(std::min<int64_t>(most, 255));
  const uint8_t* bytes = bytes_of(step, size);
  for (int64_t first = 0; first < size; first += block) {
    const int64_t count = std::min(block, size - first);
    uint8_t counts[block] = {};
    float values[block];
    std::memcpy(counts, bytes + first, count);
    for (int64_t i = 0; i < block; ++i) values[i] = static_cast<float>(std::min(counts[i], limit));
    std::memcpy(step + first, values, count * sizeof(float));
  }
}

template <class T>
int64_t frames_of(const EventBatch& e, bool by_count, double bin, int64_t levels, float* out) {
  const int64_t most = levels ? levels : none;
  return over_clips(e, 2, [&](int64_t b) {
    const Clip<T> clip(e, b, 2);
    clip.for_steps(out, [&](float* step) { std::memset(bytes_of(step, clip.step_size()), 0, clip.step_size()); });
    const int64_t events = clip.last - clip.first, size = static_cast<int64_t>(std::min(bin, 1e18));
    const double steps = static_cast<double>(e.steps);
    // where the count of an event stands, null where it is left out
    const auto place_of = [&](int64_t i, double since) -> uint8_t* {
      int64_t step;
      if (by_count) {
        step = bin ? (i - clip.first) / size : (i - clip.first) * e.steps / events;
        if (step >= e.steps) return nullptr;
      } else if (bin) {
        const double bins = whole_bins(since, bin);
        if (!(bins < steps)) return nullptr;
        step = static_cast<int64_t>(bins);
      } else {
        const double share = clip.length > 0 ? since / clip.length : 0;
        step = std::min(static_cast<int64_t>(share * steps), e.steps - 1);
      }
      return bytes_of(clip.step(out, step), clip.step_size()) + e.p[i] * clip.plane + clip.pixel(i);
    };
    Carries carries;
    uint8_t* places[ahead];
    for (int64_t first = clip.first; first < clip.last; first += ahead) {
      const int64_t count = std::min(ahead, clip.last - first);
      for (int64_t j = 0; j < count; ++j) {
        const int64_t i = first + j;
        const double since = clip.since(i);
        if (!clip.on_sensor(i) || !(since >= 0) || (!bin && !(since <= clip.length))) return i;
        places[j] = place_of(i, since);
        __builtin_prefetch(places[j], 1);
      }
      for (int64_t j = 0; j < count; ++j) {
        if (places[j] && ++*places[j] == 0) ++carries[places[j]];
      }
    }
    // a count that was carried is read before its byte is written over
    for (auto& [place, times] : carries) times = times * 256 + *place;
    clip.for_steps(out, [&](float* step) { to_floats(step, clip.step_size(), most); });
    for (const auto& [place, count] : carries) {
      *float_of(out, place, clip.step_size()) = static_cast<float>(std::min(count, most));
    }
    return none;
  });
}

template <class T>
int64_t voxel_grid_of(const EventBatch& e, bool is_signed, float* out) {
  const int64_t channels = is_signed ? 1 : 2;
  return over_clips(e, channels, [&](int64_t b) {
    const Clip<T> clip(e, b, channels);
    clip.for_steps(out, [&](float* step) { std::memset(step, 0, clip.step_size() * sizeof(float)); });
    const double last = static_cast<double>(e.steps - 1);
    // the step before the event, and what it adds there and one step later
    struct Spread {
      float* place;
      float here, later;
    } spreads[ahead];
    for (int64_t first = clip.first; first < clip.last; first += ahead) {
      const int64_t count = std::min(ahead, clip.last - first);
      for (int64_t j = 0; j < count; ++j) {
        const int64_t i = first + j;
        const double since = clip.since(i);
        if (!clip.on_sensor(i) || !(since >= 0) || !(since <= clip.length)) return i;
        const double position = clip.length > 0 ? since / clip.length * last : 0;
        const int64_t step = static_cast<int64_t>(position);
        const double above = position - static_cast<double>(step);
        const float sign = is_signed && !e.p[i] ? -1.0f : 1.0f;
        float* place = clip.step(out, step) + (is_signed ? 0 : e.p[i] * clip.plane) + clip.pixel(i);
        __builtin_prefetch(place, 1);
        if (step + 1 < e.steps) __builtin_prefetch(place + clip.from_step_to_step(), 1);
        // at the last step nothing is left for one behind it
        spreads[j] = {place, sign * static_cast<float>(1 - above), step + 1 < e.steps ? sign * static_cast<float>(above) : 0};
      }
      for (int64_t j = 0; j < count; ++j) {
        const Spread& spread = spreads[j];
        *spread.place += spread.here;
        if (spread.later != 0) spread.place[clip.from_step_to_step()] += spread.later;
      }
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
