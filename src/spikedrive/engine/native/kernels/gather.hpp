// Sums of weights over what fired: the lists of places, the feeds made of them, and the additions.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels.hpp"
#include "vectors.hpp"

namespace {

using namespace spikedrive::engine;

// The places of the bits of each byte, lowest first; what follows them is 0.
using Eight = std::array<uint16_t, 8>;
constexpr std::array<Eight, 256> places_of_bits() {
  std::array<Eight, 256> table{};
  for (int byte = 0; byte < 256; ++byte)
    for (int bit = 0, n = 0; bit < 8; ++bit)
      if (byte >> bit & 1) table[byte][n++] = static_cast<uint16_t>(bit);
  return table;
}
alignas(64) constexpr std::array<Eight, 256> bit_places = places_of_bits();

inline uint16_t* list_byte(uint8_t byte, uint16_t first, uint16_t* next) {
  const auto places = load<EightWords>(bit_places[byte].data());
  store(next, places + first);
  return next + __builtin_popcount(byte);
}

// 16 places, first + 0 to 15, of which the bits choose.
inline __attribute__((always_inline)) uint16_t* list_sixteen(uint32_t bits, uint16_t first, uint16_t* next) {
  next = list_byte(static_cast<uint8_t>(bits), first, next);
  return list_byte(static_cast<uint8_t>(bits >> 8), static_cast<uint16_t>(first + 8), next);
}

inline uint16_t* list_bits(const uint8_t* bits, int64_t channels, uint16_t first, uint16_t* next) {
  for (int64_t i = 0; i < channels; i += 16) {
    uint16_t sixteen;
    std::memcpy(&sixteen, bits + i / 8, 2);
    next = list_sixteen(sixteen, static_cast<uint16_t>(first + i), next);
  }
  return next;
}

inline uint16_t* list_bytes(const uint8_t* x, int64_t channels, uint16_t first, uint16_t* next) {
  int64_t i = 0;
#if SPIKEDRIVE_RUN_LEVEL >= 2
  for (; i < channels; i += 64) {
    const __mmask64 inside = channels - i < 64 ? (uint64_t{1} << (channels - i)) - 1 : ~uint64_t{0};
    const __m512i bytes = _mm512_maskz_loadu_epi8(inside, x + i);
    // all that fired, then all that fired twice, and so on
    uint64_t fired = _mm512_test_epi8_mask(bytes, bytes);
    for (int times = 1; fired; fired = _mm512_cmpgt_epu8_mask(bytes, _mm512_set1_epi8(static_cast<char>(times))), ++times)
      for (int part = 0; part < 64; part += 8)
        next = list_byte(static_cast<uint8_t>(fired >> part), static_cast<uint16_t>(first + i + part), next);
  }
  return next;
#endif
  const auto take = [&](int64_t at) {
    for (uint8_t n = x[at]; n; --n) *next++ = static_cast<uint16_t>(first + at);
  };
  for (; i + 8 <= channels; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, x + i, 8);
    if (eight)
      for (int64_t at = i; at < i + 8; ++at) take(at);
  }
  for (; i < channels; ++i) take(i);
  return next;
}

int64_t list(const Listing& p, uint16_t* places, int32_t* starts) {
  const int64_t step = p.bits ? (p.channels + 15) / 16 * 2 : p.channels;
  uint16_t* next = places;
  for (int64_t x = 0; x < p.columns; ++x)
    for (int64_t s = 0; s < p.splits; ++s) {
      *starts++ = static_cast<int32_t>(next - places);
      const int64_t begin = s * p.split, count = std::min(p.split, p.channels - begin);
      const auto first = static_cast<uint16_t>(x * p.channels + begin);
      const uint8_t* from = p.from + x * step;
      next = p.bits ? list_bits(from + begin / 8, count, first, next) : list_bytes(from + begin, count, first, next);
    }
  *starts = static_cast<int32_t>(next - places);
  return next - places;
}

// `count` places as rows of a block, of 64 bytes each; writes 64 at a time.
inline void copy_rows(const uint16_t* place, int64_t count, uint16_t origin, uint16_t* to) {
  const Words from = Words{} + origin;
  int64_t done = 0;
  do {
#pragma GCC unroll 8
    for (int64_t i = 0; i < 64; i += words_of_vector) store(to + done + i, (load<Words>(place + done + i) - from) << 6);
    done += 64;
  } while (__builtin_expect(done < count, 0));
}

// A segment in one row of the map; `origin` counts from its first column's first channel.
struct Within {
  const uint16_t* places;
  const int32_t* starts;
  int64_t column, columns, origin;
};

int32_t feed(const Feeding& p, Feed& made) {
  uint16_t *eights = p.eights, *fours = p.fours;
  uint32_t *eight_slots = p.eight_slots, *four_slots = p.four_slots;
  const auto filling = EightWords{} + static_cast<uint16_t>(p.zero * 64);
  int32_t most = 0;
  for (int64_t t = 0; t < p.steps; ++t)
    for (int64_t n = 0; n < p.positions;) {
      // the positions of one row of the map
      const int64_t r = (p.first + n) / p.columns, begin = (p.first + n) % p.columns;
      const int64_t end = std::min(p.columns, begin + p.positions - n);
      // the segments that lie within the map
      Within within[most_segments];
      int64_t segments = 0;
      for (int64_t i = 0; i < p.segment_count; ++i) {
        const Segment& segment = p.segments[i];
        const int64_t row = r * p.row_stride + segment.row - p.padding_rows;
        if (row < 0 || row >= p.in_rows) continue;
        const Listed& listed = p.rows[t * p.in_rows + row];
        within[segments++] = {listed.places, listed.starts + segment.part, segment.column, segment.columns,
                              segment.part * p.split - segment.first};
      }
      for (int64_t x = begin; x < end; ++x, ++n) {
        uint16_t* next = eights;
        const int64_t left = x * p.stride - p.padding;
        for (int64_t i = 0; i < segments; ++i) {
          const Within& segment = within[i];
          const int64_t column = left + segment.column;
          const int64_t from = std::max<int64_t>(column, 0), to = std::min(column + segment.columns, p.in_columns);
          if (from >= to) continue;
          const int64_t first = segment.starts[from * p.splits], count = segment.starts[(to - 1) * p.splits + 1] - first;
          // the place that is row 0 of the block, if it were within reach
          copy_rows(segment.places + first, count, static_cast<uint16_t>(column * p.channels + segment.origin), next);
          next += count;
        }
        // whole eights, and one four where no more than four are left
        const int64_t count = next - eights;
        store(next, filling);
        const int64_t whole = (count + 3) / 8, rest = (count + 3) / 4 - 2 * whole;
        const auto slot = static_cast<uint32_t>((t * p.positions + n) * 128);
        std::memcpy(fours, eights + 8 * whole, 8);
        *four_slots = slot;
        fours += 4 * rest;
        four_slots += rest;
        int64_t written = 0;
        do {
          store(eight_slots + written, EightInts{} + slot);
          written += 8;
        } while (__builtin_expect(written < whole, 0));
        eights += 8 * whole;
        eight_slots += whole;
        most = std::max(most, p.entries[t * p.positions + n] = static_cast<int32_t>(8 * whole + 4 * rest));
      }
    }
  made = {p.eights, p.fours, p.eight_slots, p.four_slots, eight_slots - p.eight_slots, four_slots - p.four_slots};
  return most;
}

// `count` rows for each slot; V vectors are summed together.
template <int V, int count, bool pairs, bool cold>
inline void gather_some(const uint8_t* weight, const uint16_t* row, const uint32_t* slot, int64_t slots, uint8_t* sums) {
  constexpr int64_t unit = V * vector_bytes / 64;
  for (int64_t n = 0; n < slots; ++n, row += count) {
    uint8_t* held = sums + slot[n] * unit;
    // rows beyond the last are some address that nobody reads
    if (cold)
#pragma GCC unroll 8
      for (int i = 0; i < count; ++i)
        for (int64_t line = 0; line < 64 * unit; line += 64) __builtin_prefetch(weight + row[2 * count + i] * unit + line);
    Words low[V], high[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      low[v] = load<Words>(held + 2 * v * vector_bytes);
      high[v] = load<Words>(held + (2 * v + 1) * vector_bytes);
    }
#pragma GCC unroll 8
    for (int i = 0; i < count; i += pairs ? 2 : 1) {
      const uint8_t *first = weight + row[i] * unit, *second = weight + row[pairs ? i + 1 : i] * unit;
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        auto y = load<UnsignedBytes>(first + v * vector_bytes);
        if (pairs) y += load<UnsignedBytes>(second + v * vector_bytes);
        low[v] += (Words)y;
        high[v] += (Words)y >> 8;
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      store(held + 2 * v * vector_bytes, low[v]);
      store(held + (2 * v + 1) * vector_bytes, high[v]);
    }
  }
}

template <int V, bool pairs, bool cold>
void gather_both(const Gather& p) {
  gather_some<V, 8, pairs, cold>(p.weight, p.feed.eights, p.feed.eight_slots, p.feed.eight_count, p.sums);
  gather_some<V, 4, pairs, cold>(p.weight, p.feed.fours, p.feed.four_slots, p.feed.four_count, p.sums);
}

template <int V, bool pairs>
void gather_as(const Gather& p) {
  p.cold ? gather_both<V, pairs, true>(p) : gather_both<V, pairs, false>(p);
}

void gather(const Gather& p) {
  constexpr int narrow = 64 / vector_bytes;
  if (p.wide) p.pairs ? gather_as<2 * narrow, true>(p) : gather_as<2 * narrow, false>(p);
  else p.pairs ? gather_as<narrow, true>(p) : gather_as<narrow, false>(p);
}

// Lanes [at, at + lanes) of the sums of a slot.
inline __attribute__((always_inline)) Lanes gathered_lanes(const uint8_t* slot, int64_t at, uint16_t excess) {
  const int64_t within = at % vector_bytes;
  const uint8_t* low = slot + 2 * (at - within);
  const uint8_t* high = low + vector_bytes;
  const int64_t byte = within % (vector_bytes / 2) * 2;
  HalfWords sums = load<HalfWords>(high + byte);
  // even bytes of a vector are its first half
  if (within < vector_bytes / 2) sums = load<HalfWords>(low + byte) - (sums << 8);
  return signed_lanes(sums - excess);
}

void widen_sums(const uint8_t* sums, bool wide, int64_t slots, const int32_t* entries, int32_t excess, bool adds, int32_t* y) {
  const int64_t width = wide ? 128 : 64;
  for (int64_t n = 0; n < slots; ++n)
    for (int64_t k = 0; k < width; k += lanes) {
      int32_t* to = y + n * width + k;
      const Lanes found = gathered_lanes(sums + n * 2 * width, k, static_cast<uint16_t>(entries[n] * excess));
      store(to, adds ? load<Lanes>(to) + found : found);
    }
}

}  // namespace
