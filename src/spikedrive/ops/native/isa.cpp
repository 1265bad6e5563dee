// Compiled once for each instruction set, which SPIKEDRIVE_LEVEL names.
// Doubles take the scalar lanes everywhere, so only the scalar table compiles them.
// Everything in the kernels' headers has internal linkage, so that no code of one set is linked into another.
#if SPIKEDRIVE_LEVEL == 2
#include "lanes/avx512.hpp"
using Lanes = Avx512Lanes;
#define SPIKEDRIVE_TABLE avx512_kernels
#define SPIKEDRIVE_DOUBLES(kernel) spikedrive::scalar_kernels()->kernel
#elif SPIKEDRIVE_LEVEL == 1
#include "lanes/avx2.hpp"
using Lanes = Avx2Lanes;
#define SPIKEDRIVE_TABLE avx2_kernels
#define SPIKEDRIVE_DOUBLES(kernel) spikedrive::scalar_kernels()->kernel
#else
#include "lanes/scalar.hpp"
using Lanes = ScalarLanes<float>;
#define SPIKEDRIVE_TABLE scalar_kernels
#define SPIKEDRIVE_DOUBLES(kernel) kernel##_of<ScalarLanes<double>, double>
#endif

#include "leaky.hpp"

namespace {

using spikedrive::Type;

void leaky_forward(const spikedrive::LeakyForward& p) {
  switch (p.type) {
    case Type::f32: return leaky_forward_of<Lanes, float>(p);
    case Type::bf16: return leaky_forward_of<Lanes, Bf16>(p);
    case Type::f64: return SPIKEDRIVE_DOUBLES(leaky_forward)(p);
  }
}

void leaky_backward(spikedrive::LeakyBackward& p) {
  switch (p.type) {
    case Type::f32: return leaky_backward_of<Lanes, float>(p);
    case Type::bf16: return leaky_backward_of<Lanes, Bf16>(p);
    case Type::f64: return SPIKEDRIVE_DOUBLES(leaky_backward)(p);
  }
}

}  // namespace

namespace spikedrive {

const Kernels* SPIKEDRIVE_TABLE() {
  static const Kernels table{leaky_forward, leaky_backward, nullptr, nullptr};
  return &table;
}

}  // namespace spikedrive
