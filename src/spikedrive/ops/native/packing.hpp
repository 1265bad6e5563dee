// Whole numbers times one scale as planes of bits: bit b of number i is bit i % 8 of byte i / 8 of plane b.
#pragma once

#include "tiles.hpp"

namespace {

using spikedrive::Pack;
using spikedrive::Unpack;

// Stops at the first part of an array that does not fit.
template <class V, class In>
void pack_of(Pack& p) {
  const auto* values = static_cast<const In*>(p.values);
  const int64_t plane = (p.count + 7) / 8, part = 1024;
  p.fits = true;
  for (int64_t begin = 0; begin < p.count && p.fits; begin += part) {
    const In* from_here = values + begin;
    uint8_t* to_here = static_cast<uint8_t*>(p.planes) + begin / 8;
    in_lanes<V>(p.count - begin < part ? p.count - begin : part, [&](auto lanes, int64_t from, int64_t to) {
      using W = decltype(lanes);
      const auto scale = W::set(p.scale), inverse = W::set(1 / p.scale), none = W::set(0);
      const auto low = W::set(p.low), top = W::set((1 << p.bits) - 1);
      auto fit = W::all(true);
      for (int64_t i = from; i < to; i += W::width) {
        const auto x = W::load(from_here + i);
        const auto n = W::round_even(W::mul(x, inverse)), back = W::mul(n, scale);
        auto rest = W::sub(n, low);
        fit = W::both(fit, W::both(W::both(W::ge(x, back), W::ge(back, x)), W::both(W::ge(rest, none), W::ge(top, rest))));
        // minus zero would come back as zero
        fit = W::both(fit, W::either(W::positive(x), W::gt(none, x)));
        for (int b = p.bits - 1; b >= 0; --b) {
          const auto value = W::set(1 << b);
          const auto has = W::ge(rest, value);
          W::store_bits(to_here + b * plane, i, has);
          rest = W::sub(rest, W::keep(has, value));
        }
      }
      uint8_t strangers[8] = {};
      W::store_bits(strangers, 0, W::no(fit));
      for (uint8_t byte : strangers) p.fits = p.fits && byte == 0;
    });
  }
}

template <class V, class In>
void unpack_of(const Unpack& p) {
  const auto* planes = static_cast<const uint8_t*>(p.planes);
  auto* values = static_cast<In*>(p.values);
  const int64_t plane = (p.count + 7) / 8;
  in_lanes<V>(p.count, [&](auto lanes, int64_t from, int64_t to) {
    using W = decltype(lanes);
    const auto scale = W::set(p.scale), low = W::set(p.low);
    for (int64_t i = from; i < to; i += W::width) {
      auto n = low;
      for (int b = 0; b < p.bits; ++b) n = W::add(n, W::keep(W::load_bits(planes + b * plane, i), W::set(1 << b)));
      W::store(values + i, W::mul(n, scale));
    }
  });
}

}  // namespace
