// The tables of kernels that this processor runs.
#pragma once

#include <vector>

#include "kernels.hpp"

namespace spikedrive {

struct InstructionSet {
  const char* name;
  const Kernels* kernels;
};

// scalar first, the widest last
inline const std::vector<InstructionSet>& instruction_sets() {
  static const std::vector<InstructionSet> found = [] {
    std::vector<InstructionSet> list{{"scalar", scalar_kernels()}};
#ifdef SPIKEDRIVE_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) list.push_back({"avx2", avx2_kernels()});
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
      list.push_back({"avx512", avx512_kernels()});
#endif
#ifdef SPIKEDRIVE_ARM64
    // part of the architecture
    list.push_back({"neon", neon_kernels()});
#endif
    return list;
  }();
  return found;
}

}  // namespace spikedrive
