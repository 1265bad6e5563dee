// Loops over several threads.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>

namespace spikedrive::engine::detail {

// Runs `work(k)` for each k below `count`; what it throws is thrown here.
template <class Work>
void in_parallel(int64_t count, int threads, const Work& work) {
  if (threads == 1 || count < 2) {
    for (int64_t k = 0; k < count; ++k) work(k);
    return;
  }
  std::exception_ptr failure;
  std::mutex hold;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t k = 0; k < count; ++k) {
    try {
      work(k);
    } catch (...) {
      const std::lock_guard<std::mutex> held(hold);
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace spikedrive::engine::detail
