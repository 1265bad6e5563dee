// Runs the kernels of every instruction set of this processor on the same numbers and compares what they write, bit
// for bit, with what the scalar ones write on one thread.
//
// Usage: compare_isas [NAME...]      the sets that must be here; exit code 1 where one is not, or where two sets differ

#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "instruction_sets.hpp"
#include "lanes/scalar.hpp"

using namespace spikedrive;

namespace {

enum class Kind { f32, bf16, f16, bits, total };

struct alignas(64) Line {
  unsigned char bytes[64];
};

// What a kernel fills, between whole lines, in a pattern that shows what it left out and where it ran over.
struct Array {
  const char* name;
  Kind kind;
  std::vector<Line> lines;

  Array(const char* name, Kind kind, int64_t count)
      : name(name), kind(kind), lines(static_cast<size_t>(count * bytes(kind) / 64 + 2)) {
    std::memset(data(), 0xa5, lines.size() * 64);
  }
  static int64_t bytes(Kind kind) {
    return kind == Kind::total ? 8 : kind == Kind::f32 ? 4 : kind == Kind::bits ? 1 : 2;
  }
  void* data() { return lines.data(); }
  int64_t count() const { return static_cast<int64_t>(lines.size()) * 64 / bytes(kind); }
  template <class T>
  T at(int64_t i) const {
    T x;
    std::memcpy(&x, reinterpret_cast<const char*>(lines.data()) + i * static_cast<int64_t>(sizeof x), sizeof x);
    return x;
  }
  double value(int64_t i) const {
    switch (kind) {
      case Kind::total: return at<double>(i);
      case Kind::f32: return at<float>(i);
      case Kind::bf16: return widen(at<Bf16>(i));
      case Kind::f16: return widen(at<F16>(i));
      default: return at<uint8_t>(i);
    }
  }
};

// One NaN is as good as another, except that the sign of a saved slope says whether the neuron fired. A total over
// all elements is taken in the order of the lanes, and differs by roundings of the largest part of it.
bool same(const Array& a, const Array& b, int64_t i) {
  const double x = a.value(i), y = b.value(i);
  if (a.kind == Kind::total) return std::fabs(x - y) <= 1e-4 * (1 + std::fabs(x));
  if (std::isnan(x) && std::isnan(y)) return a.kind != Kind::f16 || std::signbit(x) == std::signbit(y);
  return x == y && std::signbit(x) == std::signbit(y);
}

using Arrays = std::vector<Array>;

// Random numbers, ties with the thresholds and, where asked for, what is unusual; the inputs of all runs are cut from
// the same few million.
class Numbers {
 public:
  Numbers(int64_t count, bool unusual) : floats_("", Kind::f32, count), halves_("", Kind::bf16, count) {
    const float odd[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-40f, -1e-40f, 3e38f};
    uint64_t state = 1;
    for (int64_t i = 0; i < count; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const auto bits = static_cast<uint32_t>(state >> 32);
      float x = static_cast<float>(bits) * 0x1p-32f * 6 - 2.5f;
      if (bits % 2) x = std::nearbyint(x * 16) / 16;
      if (unusual && bits / 2 % 256 == 0) x = odd[bits / 512 % 8];
      static_cast<float*>(floats_.data())[i] = x;
      static_cast<Bf16*>(halves_.data())[i] = narrow(x);
    }
  }
  // the k-th input of a run; they overlap, each begins elsewhere
  const void* operator()(Type type, int k) {
    Array& from = type == Type::bf16 ? halves_ : floats_;
    return static_cast<char*>(from.data()) + 1984 * k * Array::bytes(from.kind);
  }

 private:
  Array floats_, halves_;
};

constexpr int64_t long_row = 16 * 8192, long_steps = 16;
Numbers usual{long_row * long_steps + 16384, false}, unusual{long_row * long_steps + 16384, true};

// A row that no vector fills, ragged ones, one of several tiles, one with work for two threads, and one that is
// written past the caches.
struct Shape {
  int64_t steps, size;
};
constexpr Shape small_shapes[] = {{5, 1}, {3, 7}, {5, 33}}, tiled{3, 8195}, shared{16, 8195};
constexpr Shape large{long_steps, long_row};

Kind kind_of(Type type) { return type == Type::bf16 ? Kind::bf16 : Kind::f32; }

struct Comparison {
  int64_t runs = 0;
  bool equal = true;

  // `run(kernels, threads)` gives all that was written
  template <class Run>
  void operator()(const std::string& what, const Shape& shape, const Run& run) {
    if (!equal) return;
    const Arrays expected = run(*scalar_kernels(), 1);
    for (const InstructionSet& isa : instruction_sets()) {
      if (isa.kernels == scalar_kernels()) continue;
      // little work stays on one thread whatever is asked for
      report(isa.name, what, shape, expected, run(*isa.kernels, 2));
      ++runs;
      if (!equal) return;
    }
  }

 private:
  void report(const char* isa, const std::string& what, const Shape& shape, const Arrays& expected,
              const Arrays& got) {
    for (size_t k = 0; k < expected.size(); ++k) {
      // quick, and true of most
      if (std::memcmp(expected[k].lines.data(), got[k].lines.data(), got[k].lines.size() * 64) == 0) continue;
      for (int64_t i = 0; i < expected[k].count(); ++i)
        if (!same(expected[k], got[k], i)) {
          std::printf("%s differs from scalar: %s[%" PRId64 "] is %.9g, not %.9g, for %s; %" PRId64 " steps of %" PRId64
                      " elements\n",
                      isa, got[k].name, i, got[k].value(i), expected[k].value(i), what.c_str(), shape.steps,
                      shape.size);
          equal = false;
          return;
        }
    }
  }
};

struct LeakyCase : Leaky {
  bool learned, optional;  // whether the inputs that may be absent are there

  bool needs_membrane() const { return hard && !detached; }
  std::string words() const {
    const char* saves[] = {"nothing", "bits", "halves", "all"};
    return std::string("a leaky neuron, ") + (type == Type::bf16 ? "bf16" : "f32") + (hard ? ", hard" : ", soft") +
           (strict ? ", strict" : "") + (detached ? "" : ", attached") + (delayed ? ", delayed" : "") +
           (synapse ? ", synapse" : "") + (learned ? ", learned" : "") + (optional ? "" : ", from rest") +
           ", surrogate " + std::to_string(static_cast<int>(surrogate)) + ", saves " + saves[static_cast<int>(save)];
  }
};

Leaky leaky_options(Type type) {
  Leaky p{};
  p.type = type;
  p.decay = 0.7, p.gain = 0.3, p.threshold = 0.5, p.reset_value = -0.25, p.offset = 0.3 * -0.25;
  p.synapse_decay = 0.6, p.alpha = 1.5;
  return p;
}

Array saved_array(const Leaky& p, int kinds_of_bits) {
  const int64_t rows = kinds_of_bits * p.steps * ((p.size + 7) / 8), all = p.steps * p.size;
  switch (p.save) {
    case Save::bits: return {"saved", Kind::bits, rows};
    case Save::half: return {"saved", Kind::f16, all};
    case Save::full: return {"saved", Kind::f32, all};
    default: return {"saved", Kind::bits, 0};
  }
}

Arrays run_leaky(const LeakyCase& c, const Kernels& kernels, int threads) {
  Numbers& input = c.learned ? usual : unusual;
  const Kind kind = kind_of(c.type);
  const int64_t all = c.steps * c.size;
  Arrays out{{"spikes", kind, all},  {"last_v", kind, c.size}, {"last_c", kind, c.synapse ? c.size : 0},
             saved_array(c, 2),      {"grad_x", kind, all},    {"grad_v", kind, c.size},
             {"grad_c", kind, c.synapse ? c.size : 0},         {"grad_decay", Kind::total, 1}};
  LeakyForward f{};
  static_cast<Leaky&>(f) = c;
  f.threads = threads;
  f.x = input(c.type, 0);
  if (c.optional) f.v = input(c.type, 1);
  if (c.optional && c.synapse) f.c = input(c.type, 2);
  f.spikes = out[0].data(), f.last_v = out[1].data(), f.saved = out[3].data();
  if (c.synapse) f.last_c = out[2].data();
  kernels.leaky_forward(f);

  LeakyBackward b{};
  static_cast<Leaky&>(b) = f;
  b.x = f.x, b.v = f.v, b.saved = c.learned ? nullptr : f.saved;
  b.learned = c.learned, b.decays_input = c.learned && c.strict;
  if (c.optional || !c.strict) b.grad_spikes = input(c.type, 3);
  if (c.optional) b.grad_last_v = input(c.type, 4);
  if (c.optional && c.synapse) b.grad_last_c = input(c.type, 5);
  b.grad_x = out[4].data(), b.grad_v = out[5].data();
  if (c.synapse) b.grad_c = out[6].data();
  kernels.leaky_backward(b);
  std::memcpy(out[7].data(), &b.grad_decay, sizeof b.grad_decay);
  return out;
}

void compare_leaky(Comparison& compare, const LeakyCase& options, const Shape& shape) {
  LeakyCase c = options;
  c.steps = shape.steps, c.size = shape.size;
  compare(c.words(), shape, [&](const Kernels& kernels, int threads) { return run_leaky(c, kernels, threads); });
}

constexpr int surrogates = static_cast<int>(Surrogate::tanh_window) + 1;

// the smallest that the surrogate and the reset allow
Save compact(const LeakyCase& c) {
  if (c.needs_membrane()) return Save::full;
  return c.surrogate <= Surrogate::straight_through ? Save::bits : Save::half;
}

void compare_all_leaky(Comparison& compare) {
  for (int k = 0; k < 2 * 32 * 2 * 3 * surrogates; ++k) {
    int rest = k;
    const auto next = [&](int count) {
      const int digit = rest % count;
      rest /= count;
      return digit;
    };
    LeakyCase c{leaky_options(next(2) ? Type::bf16 : Type::f32), false, false};
    c.hard = next(2), c.strict = next(2), c.detached = next(2), c.delayed = next(2), c.synapse = next(2);
    c.optional = next(2);
    const int saves = next(3);
    c.surrogate = static_cast<Surrogate>(next(surrogates));
    c.learned = saves == 2;
    c.save = saves == 0 ? compact(c) : saves == 1 ? Save::full : Save::none;
    // what the package refuses
    if (c.delayed && (!c.detached || c.learned)) continue;
    if (c.synapse && c.learned) continue;
    for (const Shape& shape : small_shapes) compare_leaky(compare, c, shape);
    // every option with some surrogate, and every surrogate with some options
    if (k % 79 == 0) compare_leaky(compare, c, k % 5 ? tiled : shared);
  }
  for (Surrogate kind : {Surrogate::rectangular, Surrogate::atan}) {
    LeakyCase c{leaky_options(Type::f32), false, true};
    c.hard = c.detached = true;
    c.surrogate = kind;
    c.save = compact(c);
    compare_leaky(compare, c, large);
  }
}

void compare_integers(Comparison& compare, const Integers& options, const Shape& shape) {
  Integers p = options;
  p.steps = shape.steps, p.size = shape.size;
  const Kind kind = kind_of(p.type);
  const int64_t all = p.steps * p.size;
  const std::string what = std::string("integers, ") + (p.type == Type::bf16 ? "bf16" : "f32") +
                           (p.carry ? ", carried" : "") + (p.half_even ? ", half even" : ", half up") +
                           (p.closed ? ", closed" : ", open") + (p.detached ? "" : ", attached") +
                           ", repeats = " + std::to_string(p.repeats) + ", threshold = " + std::to_string(p.threshold);
  compare(what, shape, [&](const Kernels& kernels, int threads) {
    const int64_t ends = p.carry ? p.size : 0;
    Arrays out{{"y", kind, all},
               {"last", kind, ends},
               {"gates", Kind::bits, p.steps * p.repeats * ((p.size + 7) / 8)},
               {"grad_x", kind, all},
               {"grad_v", kind, ends}};
    IntegersForward f{};
    static_cast<Integers&>(f) = p;
    f.threads = threads;
    f.x = unusual(p.type, 0), f.y = out[0].data(), f.gates = out[2].data();
    if (p.carry) f.v = unusual(p.type, 1), f.last = out[1].data();
    kernels.integers_forward(f);
    IntegersBackward b{};
    static_cast<Integers&>(b) = f;
    b.grad_y = unusual(p.type, 2), b.gates = f.gates, b.grad_x = out[3].data();
    if (p.carry) b.grad_last = unusual(p.type, 3), b.grad_v = out[4].data();
    kernels.integers_backward(b);
    return out;
  });
}

void compare_all_integers(Comparison& compare) {
  for (int k = 0; k < 128; ++k) {
    Integers p{};
    p.type = k & 1 ? Type::bf16 : Type::f32;
    p.carry = k & 2, p.half_even = k & 4, p.closed = k & 8, p.detached = k & 16;
    p.repeats = k & 32 ? 3 : 1, p.threshold = k & 64 ? 0.3 : 0.25;
    p.levels = 4, p.decay = 0.7, p.gain = 0.5, p.scale = 0.75;
    for (const Shape& shape : small_shapes) compare_integers(compare, p, shape);
    if (k % 9 == 0) compare_integers(compare, p, k % 5 ? tiled : shared);
    if (k == 28) compare_integers(compare, p, large);
  }
}

void compare_ternary(Comparison& compare, const LeakyCase& options, double window, const Shape& shape) {
  LeakyCase c = options;
  c.steps = shape.steps, c.size = shape.size;
  const Kind kind = kind_of(c.type);
  const int64_t all = c.steps * c.size;
  compare("ternary, window " + std::to_string(window) + ": " + c.words(), shape, [&](const Kernels& kernels, int threads) {
    Arrays out{{"spikes", kind, all}, {"last", kind, c.size}, saved_array(c, 2), {"grad_x", kind, all}, {"grad_v", kind, c.size}};
    TernaryForward f{};
    static_cast<Leaky&>(f) = c;
    f.threads = threads, f.window = window;
    f.x = unusual(c.type, 0), f.spikes = out[0].data(), f.last = out[1].data(), f.saved = out[2].data();
    TernaryBackward b{};
    if (c.optional) f.v = unusual(c.type, 1), b.grad_last = unusual(c.type, 4);
    kernels.ternary_forward(f);
    static_cast<Leaky&>(b) = f;
    b.window = window, b.grad_spikes = unusual(c.type, 3), b.saved = f.saved;
    b.grad_x = out[3].data(), b.grad_v = out[4].data();
    kernels.ternary_backward(b);
    return out;
  });
}

void compare_all_ternary(Comparison& compare) {
  for (int k = 0; k < 64 * (surrogates + 1); ++k) {
    LeakyCase c{leaky_options(k & 1 ? Type::bf16 : Type::f32), false, (k & 2) != 0};
    c.hard = k & 4, c.detached = k & 8;
    if (k & 16) c.decay = 0.5, c.threshold = 0.75;
    const int kind = k / 64;
    const bool windowed = kind == surrogates;
    c.surrogate = static_cast<Surrogate>(windowed ? 0 : kind);
    c.save = k & 32 ? compact(c) : Save::full;
    for (const Shape& shape : small_shapes) compare_ternary(compare, c, windowed ? 0.8 : 0.0, shape);
    if (k % 25 == 0) compare_ternary(compare, c, windowed ? 0.8 : 0.0, k % 3 ? tiled : shared);
  }
  LeakyCase c{leaky_options(Type::f32), false, true};
  c.hard = c.detached = true, c.surrogate = Surrogate::atan, c.save = Save::half;
  compare_ternary(compare, c, 0, large);
}

void compare_wkv(Comparison& compare) {
  // a whole chunk and a part of one; channels that no tile or vector fills
  const int64_t shapes[][3] = {{1, 1, 1}, {5, 2, 7}, {35, 2, 67}, {70, 3, 200}};
  for (const auto& [tokens, texts, channels] : shapes) {
    for (const Type type : {Type::f32, Type::bf16}) {
      const Kind kind = kind_of(type);
      const int64_t all = tokens * texts * channels, state = 3 * texts * channels, chunk = 32;
      compare("wkv", {tokens, texts * channels}, [&](const Kernels& kernels, int threads) {
        Arrays out{{"y", kind, all}, {"last", Kind::f32, state}, {"saved", Kind::f32, (tokens + chunk - 1) / chunk * state},
                   {"grad_x", kind, 2 * all}, {"grad_state", Kind::f32, state}, {"grad_decay", Kind::f32, texts * channels},
                   {"grad_first", Kind::f32, texts * channels}};
        WkvBackward p{};
        p.tokens = tokens, p.batch = texts, p.channels = channels, p.chunk = chunk, p.type = type, p.threads = threads;
        p.x = usual(type, 0), p.state = usual(Type::f32, 1), p.decay = usual(Type::f32, 2), p.first = usual(Type::f32, 3);
        p.y = out[0].data(), p.last = out[1].data(), p.saved = out[2].data();
        kernels.wkv_forward(p);
        p.grad_y = usual(type, 4), p.grad_last = usual(Type::f32, 5), p.grad_x = out[3].data();
        p.grad_state = out[4].data(), p.grad_decay = out[5].data(), p.grad_first = out[6].data();
        kernels.wkv_backward(p);
        return out;
      });
    }
  }
}

// Whole numbers of every range and scale, and what has no place among them at the very end.
void compare_packing(Comparison& compare) {
  for (int k = 0; k < 96; ++k) {
    const Type type = k & 1 ? Type::bf16 : Type::f32;
    const bool stranger = k & 2;
    const int ranges[][2] = {{1, 0}, {2, -1}, {4, 0}}, *range = ranges[k / 4 % 3];
    const double scale = k / 12 % 2 ? 0.375 : 1;
    const int64_t counts[] = {1, 7, 1029, 8195}, count = counts[k / 24];
    const Kind kind = kind_of(type);
    Array given("values", kind, count);
    for (int64_t i = 0; i < count; ++i) {
      auto x = static_cast<float>(scale * (range[1] + (i * 7 + i / 5) % (1 << range[0])));
      if (stranger && i == count - 1) x = -0.0f;
      if (type == Type::bf16) static_cast<Bf16*>(given.data())[i] = narrow(x);
      else static_cast<float*>(given.data())[i] = x;
    }
    const std::string what = std::string("packing, ") + (type == Type::bf16 ? "bf16" : "f32") + ", " +
                             std::to_string(range[0]) + " bits, scale " + std::to_string(scale);
    compare(what, {1, count}, [&](const Kernels& kernels, int) {
      Arrays out{{"fits", Kind::bits, 1}, {"planes", Kind::bits, (count + 7) / 8 * range[0]}, {"values", kind, count}};
      const Packing p{count, type, range[0], range[1], scale};
      Pack to{p, given.data(), out[1].data(), false};
      kernels.pack(to);
      *static_cast<uint8_t*>(out[0].data()) = to.fits;
      kernels.unpack({p, to.planes, out[2].data()});
      // the scalar ones give back what they were given, and nothing else
      if (to.fits == stranger || (to.fits && std::memcmp(out[2].data(), given.data(), count * Array::bytes(kind))))
        compare.equal = false, std::printf("wrong: %s, %" PRId64 " values\n", what.c_str(), count);
      return out;
    });
  }
}

}  // namespace

int main(int count, char** names) {
  std::string here;
  for (const InstructionSet& isa : instruction_sets()) here += std::string(here.empty() ? "" : ", ") + isa.name;
  for (int i = 1; i < count; ++i)
    if ((", " + here + ",").find(std::string(", ") + names[i] + ",") == std::string::npos) {
      std::printf("%s is not here; this processor runs %s\n", names[i], here.c_str());
      return 1;
    }
  Comparison compare;
  compare_all_leaky(compare);
  compare_all_integers(compare);
  compare_all_ternary(compare);
  compare_packing(compare);
  compare_wkv(compare);
  if (!compare.equal) return 1;
  std::printf("%s: the same bits in %" PRId64 " runs\n", here.c_str(), compare.runs);
  return 0;
}
