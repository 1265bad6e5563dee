// Compiled once for each instruction set, which SPIKEDRIVE_LEVEL names.
// Doubles take the scalar lanes everywhere, so only the scalar table compiles them.
// Everything in the kernels' headers has internal linkage, so that no code of one set is linked into another.
#if SPIKEDRIVE_LEVEL == 3
#include "lanes/neon.hpp"
using Lanes = NeonLanes;
#define SPIKEDRIVE_TABLE neon_kernels
#define SPIKEDRIVE_DOUBLES(kernel) spikedrive::scalar_kernels()->kernel
#elif SPIKEDRIVE_LEVEL == 2
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

#include "integers.hpp"
#include "leaky.hpp"
#include "packing.hpp"
#include "ternary.hpp"
#include "wkv.hpp"

namespace {

using spikedrive::Type;

#define SPIKEDRIVE_KERNEL(kernel, Params)                            \
  void kernel(Params& p) {                                           \
    switch (p.type) {                                                \
      case Type::f32: return kernel##_of<Lanes, float>(p);           \
      case Type::bf16: return kernel##_of<Lanes, Bf16>(p);           \
      case Type::f64: return SPIKEDRIVE_DOUBLES(kernel)(p);          \
    }                                                                \
  }

SPIKEDRIVE_KERNEL(leaky_forward, const LeakyForward)
SPIKEDRIVE_KERNEL(leaky_backward, LeakyBackward)
SPIKEDRIVE_KERNEL(integers_forward, const IntegersForward)
SPIKEDRIVE_KERNEL(integers_backward, const IntegersBackward)
SPIKEDRIVE_KERNEL(ternary_forward, const TernaryForward)
SPIKEDRIVE_KERNEL(ternary_backward, const TernaryBackward)
SPIKEDRIVE_KERNEL(pack, Pack)
SPIKEDRIVE_KERNEL(unpack, const Unpack)
SPIKEDRIVE_KERNEL(wkv_forward, const WkvForward)
SPIKEDRIVE_KERNEL(wkv_backward, const WkvBackward)

}  // namespace

namespace spikedrive {

const Kernels* SPIKEDRIVE_TABLE() {
  static const Kernels table{leaky_forward,   leaky_backward,   integers_forward, integers_backward,
                             ternary_forward, ternary_backward, pack,             unpack,
                             wkv_forward,     wkv_backward};
  return &table;
}

}  // namespace spikedrive
