// One instruction set's kernels, by the macro SPIKEDRIVE_RUN_LEVEL: 0 scalar (whatever every compiler knows), 1 AVX2,
// 2 AVX-512, 3 with VNNI, -1 NEON.
#include "dense.hpp"
#include "depthwise.hpp"
#include "gather.hpp"
#include "product.hpp"
#include "settle.hpp"
#include "steps.hpp"

namespace spikedrive::engine {

#if SPIKEDRIVE_RUN_LEVEL == 3
#define SPIKEDRIVE_TABLE avx512vnni
#elif SPIKEDRIVE_RUN_LEVEL == 2
#define SPIKEDRIVE_TABLE avx512
#elif SPIKEDRIVE_RUN_LEVEL == 1
#define SPIKEDRIVE_TABLE avx2
#elif SPIKEDRIVE_RUN_LEVEL == -1
#define SPIKEDRIVE_TABLE neon
#else
#define SPIKEDRIVE_TABLE scalar
#endif
#define SPIKEDRIVE_TEXT(name) #name
#define SPIKEDRIVE_NAME(name) SPIKEDRIVE_TEXT(name)

extern const Kernels SPIKEDRIVE_TABLE;
const Kernels SPIKEDRIVE_TABLE = {
    SPIKEDRIVE_NAME(SPIKEDRIVE_TABLE), vector_bytes, SPIKEDRIVE_RUN_LEVEL == 3, dense, interleave, pieces, cut, depthwise, list, feed, gather, widen_sums, settle, fire, rest, add, shift, widen, spread, sum, product, coincidences,
};

}  // namespace spikedrive::engine
