// The Python face of the kernels: addresses and numbers in, nothing held, nothing of libtorch.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "events/events.hpp"
#include "instruction_sets.hpp"
#include "pages.hpp"

namespace nb = nanobind;
using namespace spikedrive;

namespace {

const Kernels& table(int isa) { return *instruction_sets().at(static_cast<size_t>(isa)).kernels; }

using Address = uintptr_t;
constexpr size_t bytes_of(int type) { return type == 2 ? 8 : type == 1 ? 2 : 4; }
const void* in(Address a) { return reinterpret_cast<const void*>(a); }
void* out(Address a) { return reinterpret_cast<void*>(a); }

// How a scan is described in Python: made once for a set of options, filled in with shapes and addresses a call.
Leaky leaky(double decay, double gain, double offset, double threshold, double reset_value, bool hard, bool strict,
            bool detached, bool delayed, bool synapse, double synapse_decay, int save, int surrogate, double alpha) {
  Leaky p{};
  p.decay = decay, p.gain = gain, p.offset = offset, p.threshold = threshold, p.reset_value = reset_value;
  p.hard = hard, p.strict = strict, p.detached = detached, p.delayed = delayed;
  p.synapse = synapse, p.synapse_decay = synapse_decay;
  p.save = static_cast<Save>(save), p.surrogate = static_cast<Surrogate>(surrogate), p.alpha = alpha;
  return p;
}

template <class Params>
Params shaped(const Params& from, int64_t steps, int64_t size, int type, int threads) {
  Params p = from;
  p.steps = steps, p.size = size, p.type = static_cast<Type>(type), p.threads = threads;
  return p;
}

size_t saved_bytes(const Leaky& p) {
  const size_t elements = p.steps * p.size;
  switch (p.save) {
    case Save::none: return 0;
    case Save::bits: return elements / 4;
    case Save::half: return elements * 2;
    default: return elements * (p.type == Type::f64 ? 8 : 4);
  }
}

void leaky_forward(const Leaky& options, int isa, int64_t steps, int64_t size, int type, int threads, Address x,
                   Address v, Address c, Address spikes, Address last_v, Address last_c, Address saved) {
  nb::gil_scoped_release unlocked;
  LeakyForward p{shaped(options, steps, size, type, threads)};
  p.x = in(x), p.v = in(v), p.c = in(c);
  p.spikes = out(spikes), p.last_v = out(last_v), p.last_c = out(last_c), p.saved = out(saved);
  prefer_large_pages(p.spikes, steps * size * bytes_of(type));
  prefer_large_pages(p.saved, saved_bytes(p));
  table(isa).leaky_forward(p);
}

double leaky_backward(const Leaky& options, int isa, int64_t steps, int64_t size, int type, int threads,
                      Address grad_spikes, Address grad_last_v, Address grad_last_c, Address saved, Address x,
                      Address v, bool learned, bool decays_input, Address grad_x, Address grad_v, Address grad_c) {
  nb::gil_scoped_release unlocked;
  LeakyBackward p{shaped(options, steps, size, type, threads)};
  p.grad_spikes = in(grad_spikes), p.grad_last_v = in(grad_last_v), p.grad_last_c = in(grad_last_c);
  p.saved = in(saved), p.x = in(x), p.v = in(v), p.learned = learned, p.decays_input = decays_input;
  p.grad_x = out(grad_x), p.grad_v = out(grad_v), p.grad_c = out(grad_c);
  prefer_large_pages(p.grad_x, steps * size * bytes_of(type));
  table(isa).leaky_backward(p);
  return p.grad_decay;
}

Integers integers(int levels, int repeats, double decay, double gain, double threshold, double scale, bool carry,
                  bool half_even, bool closed, bool detached) {
  Integers p{};
  p.levels = levels, p.repeats = repeats, p.decay = decay, p.gain = gain, p.threshold = threshold, p.scale = scale;
  p.carry = carry, p.half_even = half_even, p.closed = closed, p.detached = detached;
  return p;
}

void integers_forward(const Integers& options, int isa, int64_t steps, int64_t size, int type, int threads, Address x,
                      Address v, Address y, Address last, Address gates) {
  nb::gil_scoped_release unlocked;
  IntegersForward p{shaped(options, steps, size, type, threads)};
  p.x = in(x), p.v = in(v), p.y = out(y), p.last = out(last), p.gates = out(gates);
  prefer_large_pages(p.y, steps * size * bytes_of(type));
  table(isa).integers_forward(p);
}

void integers_backward(const Integers& options, int isa, int64_t steps, int64_t size, int type, int threads,
                       Address grad_y, Address grad_last, Address gates, Address grad_x, Address grad_v) {
  nb::gil_scoped_release unlocked;
  IntegersBackward p{shaped(options, steps, size, type, threads)};
  p.grad_y = in(grad_y), p.grad_last = in(grad_last), p.gates = in(gates);
  p.grad_x = out(grad_x), p.grad_v = out(grad_v);
  prefer_large_pages(p.grad_x, steps * size * bytes_of(type));
  table(isa).integers_backward(p);
}

void ternary_forward(const Leaky& options, double window, int isa, int64_t steps, int64_t size, int type, int threads,
                     Address x, Address v, Address spikes, Address last, Address saved) {
  nb::gil_scoped_release unlocked;
  TernaryForward p{shaped(options, steps, size, type, threads)};
  p.window = window, p.x = in(x), p.v = in(v), p.spikes = out(spikes), p.last = out(last), p.saved = out(saved);
  prefer_large_pages(p.spikes, steps * size * bytes_of(type));
  prefer_large_pages(p.saved, saved_bytes(p));
  table(isa).ternary_forward(p);
}

void ternary_backward(const Leaky& options, double window, int isa, int64_t steps, int64_t size, int type, int threads,
                      Address grad_spikes, Address grad_last, Address saved, Address grad_x, Address grad_v) {
  nb::gil_scoped_release unlocked;
  TernaryBackward p{shaped(options, steps, size, type, threads)};
  p.window = window, p.grad_spikes = in(grad_spikes), p.grad_last = in(grad_last), p.saved = in(saved);
  p.grad_x = out(grad_x), p.grad_v = out(grad_v);
  prefer_large_pages(p.grad_x, steps * size * bytes_of(type));
  table(isa).ternary_backward(p);
}

Packing packing(int64_t count, int type, int bits, int low, double scale) {
  return {count, static_cast<Type>(type), bits, low, scale};
}

bool pack(int isa, int64_t count, int type, int bits, int low, double scale, Address values, Address planes) {
  nb::gil_scoped_release unlocked;
  Pack p{packing(count, type, bits, low, scale), in(values), out(planes), false};
  table(isa).pack(p);
  return p.fits;
}

void unpack(int isa, int64_t count, int type, int bits, int low, double scale, Address planes, Address values) {
  nb::gil_scoped_release unlocked;
  prefer_large_pages(out(values), count * bytes_of(type));
  table(isa).unpack({packing(count, type, bits, low, scale), in(planes), out(values)});
}

Wkv wkv(int64_t tokens, int64_t batch, int64_t channels, int64_t chunk, int type, int threads) {
  return {tokens, batch, channels, chunk, static_cast<Type>(type), threads};
}

void wkv_forward(int isa, int64_t tokens, int64_t batch, int64_t channels, int64_t chunk, int type, int threads,
                 Address x, Address state, Address decay, Address first, Address y, Address last, Address saved) {
  nb::gil_scoped_release unlocked;
  WkvForward p{wkv(tokens, batch, channels, chunk, type, threads), in(x), in(state), in(decay), in(first), out(y),
               out(last), out(saved)};
  table(isa).wkv_forward(p);
}

void wkv_backward(int isa, int64_t tokens, int64_t batch, int64_t channels, int64_t chunk, int type, int threads,
                  Address x, Address saved, Address decay, Address first, Address grad_y, Address grad_last,
                  Address grad_x, Address grad_state, Address grad_decay, Address grad_first) {
  nb::gil_scoped_release unlocked;
  WkvBackward p{};
  static_cast<Wkv&>(p) = wkv(tokens, batch, channels, chunk, type, threads);
  p.x = in(x), p.decay = in(decay), p.first = in(first), p.saved = out(saved);
  p.grad_y = in(grad_y), p.grad_last = in(grad_last), p.grad_x = out(grad_x), p.grad_state = out(grad_state);
  p.grad_decay = out(grad_decay), p.grad_first = out(grad_first);
  table(isa).wkv_backward(p);
}

EventBatch events(int64_t clips, bool real, Address t, Address x, Address y, Address p, Address offsets, Address begin,
                  Address end, int64_t width, int64_t height, int64_t steps, int threads) {
  return {clips, real, in(t), static_cast<const int32_t*>(in(x)), static_cast<const int32_t*>(in(y)),
          static_cast<const uint8_t*>(in(p)), static_cast<const int64_t*>(in(offsets)), in(begin), in(end), width, height,
          steps, threads};
}

float* grid(const EventBatch& e, int64_t channels, Address a) {
  prefer_large_pages(out(a), e.steps * e.clips * channels * e.height * e.width * sizeof(float));
  return static_cast<float*>(out(a));
}

int64_t frames_of_events(const EventBatch& e, bool by_count, double bin, int64_t levels, Address y) {
  nb::gil_scoped_release unlocked;
  return event_frames(e, by_count, bin, levels, grid(e, 2, y));
}

int64_t voxel_grid_of_events(const EventBatch& e, bool is_signed, Address y) {
  nb::gil_scoped_release unlocked;
  return event_voxel_grid(e, is_signed, grid(e, is_signed ? 1 : 2, y));
}

}  // namespace

NB_MODULE(_train, m) {
  m.doc() = "Fused neuron scans for the CPU.";
  m.def("isas", [] {
    std::vector<std::string> names;
    for (const InstructionSet& isa : instruction_sets()) names.push_back(isa.name);
    return names;
  }, "The instruction sets that this processor runs, the widest last.");
  m.def("parallel", [] {
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
  }, "Whether the module was built with OpenMP.");

  nb::class_<Leaky>(m, "Leaky");
  m.def("leaky", &leaky, nb::arg("decay"), nb::arg("gain"), nb::arg("offset"), nb::arg("threshold"),
        nb::arg("reset_value"), nb::arg("hard"), nb::arg("strict"), nb::arg("detached"), nb::arg("delayed"),
        nb::arg("synapse"), nb::arg("synapse_decay"), nb::arg("save"), nb::arg("surrogate"), nb::arg("alpha"));
  m.def("leaky_forward", &leaky_forward);
  m.def("leaky_backward", &leaky_backward);
  m.def("ternary_forward", &ternary_forward);
  m.def("ternary_backward", &ternary_backward);

  nb::class_<Integers>(m, "Integers");
  m.def("integers", &integers, nb::arg("levels"), nb::arg("repeats"), nb::arg("decay"), nb::arg("gain"),
        nb::arg("threshold"), nb::arg("scale"), nb::arg("carry"), nb::arg("half_even"), nb::arg("closed"),
        nb::arg("detached"));
  m.def("integers_forward", &integers_forward);
  m.def("integers_backward", &integers_backward);

  m.def("pack", &pack, "Write the numbers as planes of bits; false, with no meaning, where they are no such numbers.");
  m.def("unpack", &unpack);
  m.def("wkv_forward", &wkv_forward);
  m.def("wkv_backward", &wkv_backward);

  nb::class_<EventBatch>(m, "EventBatch");
  m.def("events", &events);
  m.def("event_frames", &frames_of_events, "Count events; gives the first one that is none, or -1.");
  m.def("event_voxel_grid", &voxel_grid_of_events, "Spread events over two steps; gives the first that is none, or -1.");
}
