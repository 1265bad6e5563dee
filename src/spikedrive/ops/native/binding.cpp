// The Python face of the kernels: addresses and numbers in, nothing held, nothing of libtorch.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.hpp"

namespace nb = nanobind;
using namespace spikedrive;

namespace {

struct Isa {
  const char* name;
  const Kernels* kernels;
};

// those that this processor and system run, the widest last
const std::vector<Isa>& isas() {
  static const std::vector<Isa> found = [] {
    std::vector<Isa> list{{"scalar", scalar_kernels()}};
#ifdef SPIKEDRIVE_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) list.push_back({"avx2", avx2_kernels()});
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
      list.push_back({"avx512", avx512_kernels()});
#endif
    return list;
  }();
  return found;
}

const Kernels& table(int isa) { return *isas().at(static_cast<size_t>(isa)).kernels; }

using Address = uintptr_t;
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

void leaky_forward(const Leaky& options, int isa, int64_t steps, int64_t size, int type, int threads, Address x,
                   Address v, Address c, Address spikes, Address last_v, Address last_c, Address saved) {
  nb::gil_scoped_release unlocked;
  LeakyForward p{shaped(options, steps, size, type, threads)};
  p.x = in(x), p.v = in(v), p.c = in(c);
  p.spikes = out(spikes), p.last_v = out(last_v), p.last_c = out(last_c), p.saved = out(saved);
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
  table(isa).leaky_backward(p);
  return p.grad_decay;
}

}  // namespace

NB_MODULE(_train, m) {
  m.doc() = "Fused neuron scans for the CPU.";
  m.def("isas", [] {
    std::vector<std::string> names;
    for (const Isa& isa : isas()) names.push_back(isa.name);
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
}
