// Which instruction sets were built, and which of them this machine has.
#include <stdexcept>
#include <string>

#include "kernels.hpp"

namespace spikedrive::engine {

extern const Kernels scalar;
#if defined(SPIKEDRIVE_X86)
extern const Kernels avx2, avx512, avx512vnni;
#elif defined(SPIKEDRIVE_ARM64)
extern const Kernels neon;
#endif

namespace {

std::vector<const Kernels*> here() {
  std::vector<const Kernels*> found{&scalar};
#if defined(SPIKEDRIVE_X86)
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (__builtin_cpu_supports("avx2")) found.push_back(&avx2);
  if (wide) found.push_back(&avx512);
  if (wide && __builtin_cpu_supports("avx512vnni")) found.push_back(&avx512vnni);
#elif defined(SPIKEDRIVE_ARM64)
  // every processor of 64-bit ARM has it
  found.push_back(&neon);
#endif
  return found;
}

}  // namespace

std::vector<std::string> levels_here() {
  std::vector<std::string> names;
  for (const Kernels* kernels : here()) names.emplace_back(kernels->name);
  return names;
}

const Kernels& kernels_of(const std::string& level) {
  std::string known;
  for (const Kernels* kernels : here()) {
    if (kernels->name == level) return *kernels;
    known += (known.empty() ? "" : ", ") + std::string(kernels->name);
  }
  throw std::invalid_argument("The engine got the instruction set '" + level + "'; this machine has " + known +
                              ". Name one of them, or none for the widest.");
}

}  // namespace spikedrive::engine
