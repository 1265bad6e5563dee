// Events of a camera, counted or spread over the steps of a grid; the equations stand in spikedrive/ops/events.
#pragma once

#include <cstdint>

namespace spikedrive {

// The events of clip b are those from offsets[b] to offsets[b + 1]; its time goes from begin[b] to end[b]. The times are
// doubles where `real`, else whole numbers of 64 bits.
struct EventBatch {
  int64_t clips;
  bool real;
  const void* t;
  const int32_t *x, *y;
  const uint8_t* p;
  const int64_t* offsets;
  const void *begin, *end;
  int64_t width, height, steps;
  int threads;
};

// Both fill `out` (steps, clips, channels, height, width), and return the first event outside the sensor, of another
// polarity or outside the time of its clip, or -1; the output has no meaning where there is one.

// `bin` is the size of a bin, 0 for bins that share the clip; `levels` is the most that is counted, 0 for no limit.
int64_t event_frames(const EventBatch& events, bool by_count, double bin, int64_t levels, float* out);

// One channel of signed sums, or one for each polarity.
int64_t event_voxel_grid(const EventBatch& events, bool is_signed, float* out);

}  // namespace spikedrive
