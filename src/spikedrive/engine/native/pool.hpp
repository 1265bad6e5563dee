// The memory of tensors, scratch and packed weights.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <vector>

namespace spikedrive::engine {

// Blocks, each at the lowest address where it fits, so that hardly more memory is touched than lives at once. What was
// given back stays for the next, up to a limit: what the system maps anew it clears first, which costs more than most
// layers do. Pages that nobody has touched take no memory; they are large where the system has large ones to give, since
// pages of 4 KB cost a look-up of their address in every few hundred bytes of a walk over channels, or over rows of
// weights.
class Pool {
 public:
  // of what comes and goes in a run
  static Pool& scratch() {
    static auto* pool = new Pool(size_t{256} << 20);
    return *pool;
  }
  // of what stays
  static Pool& weights() {
    static auto* pool = new Pool(0);
    return *pool;
  }

  // `bytes` is a multiple of 64, and so is the address.
  uint8_t* take(size_t bytes) {
    const std::lock_guard<std::mutex> hold(mutex_);
    for (Region& region : regions_)
      for (auto gap = region.gaps.begin(); gap != region.gaps.end(); ++gap)
        if (gap->bytes >= bytes) {
          uint8_t* const data = gap->data;
          *gap = {data + bytes, gap->bytes - bytes};
          if (!gap->bytes) region.gaps.erase(gap);
          region.touched = std::max(region.touched, static_cast<size_t>(data + bytes - region.data));
          return data;
        }
    const size_t needed = (bytes + page - 1) / page * page;
    regions_.push_back(needed < usual ? region_of(usual, needed) : region_of(needed, needed));
    Region& made = regions_.back();
    made.touched = bytes;
    if (made.bytes > bytes) made.gaps.push_back({made.data + bytes, made.bytes - bytes});
    return made.data;
  }

  void give(uint8_t* data, size_t bytes) {
    const std::lock_guard<std::mutex> hold(mutex_);
    const auto region = std::find_if(regions_.begin(), regions_.end(), [&](const Region& r) { return data >= r.data && data < r.data + r.bytes; });
    auto& gaps = region->gaps;
    auto next = std::find_if(gaps.begin(), gaps.end(), [&](const Gap& gap) { return gap.data > data; });
    if (next != gaps.end() && data + bytes == next->data) {
      *next = {data, bytes + next->bytes};
    } else {
      next = gaps.insert(next, {data, bytes});
    }
    if (next != gaps.begin())
      if (const auto before = next - 1; before->data + before->bytes == next->data) {
        before->bytes += next->bytes;
        gaps.erase(next);
      }
    if (region->touched > most_ && gaps.front().bytes == region->bytes) {
      munmap(region->data, region->bytes);
      regions_.erase(region);
    }
  }

 private:
  struct Gap {
    uint8_t* data;
    size_t bytes;
  };
  // gaps in the order of their addresses, no two side by side
  struct Region {
    uint8_t* data;
    size_t bytes, touched;
    std::vector<Gap> gaps;
  };

  // Addresses for `bytes`, or for `least` where the system has not so many.
  static Region region_of(size_t bytes, size_t least) {
    // as many more as it takes to begin at a large page
    const size_t room = bytes + page;
    void* const found = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (found == MAP_FAILED) {
      if (bytes == least) throw std::bad_alloc();
      return region_of(least, least);
    }
    auto* const first = static_cast<uint8_t*>(found);
    const size_t before = (page - reinterpret_cast<uintptr_t>(first) % page) % page;
    if (before) munmap(first, before);
    if (before < page) munmap(first + before + bytes, page - before);
#ifdef MADV_HUGEPAGE
    madvise(first + before, bytes, MADV_HUGEPAGE);
#endif
    return {first + before, bytes, 0, {}};
  }

  explicit Pool(size_t most) : most_(most) {}

  static constexpr size_t usual = size_t{1} << 30, page = size_t{2} << 20;
  const size_t most_;
  std::mutex mutex_;
  std::vector<Region> regions_;
};

}  // namespace spikedrive::engine
