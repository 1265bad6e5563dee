// Small memory of a run: shapes, lists of tensors, handles.
#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <vector>

namespace spikedrive::engine {

// Blocks in sizes of powers of two. What is given back stays with the thread that gave it, for its next run, so that a
// stream asks the system for nothing after its first step.
class Again {
 public:
  static void* take(size_t bytes) {
    const size_t size = size_of(bytes);
    if (size == sizes || ended_) return ::operator new(rounded(bytes, size));
    Block*& first = of_this_thread()[size];
    if (!first) return ::operator new(rounded(bytes, size));
    Block* const found = first;
    first = found->next;
    return found;
  }

  static void give(void* memory, size_t bytes) noexcept {
    const size_t size = size_of(bytes);
    if (size == sizes || ended_) {
      ::operator delete(memory);
      return;
    }
    Block*& first = of_this_thread()[size];
    first = new (memory) Block{first};
  }

 private:
  struct Block {
    Block* next;
  };
  // 64 bytes to 1 MiB; what is larger comes and goes
  static constexpr size_t sizes = 15;
  using Blocks = std::array<Block*, sizes>;

  static size_t size_of(size_t bytes) {
    size_t size = 0;
    while (size < sizes && (size_t{64} << size) < bytes) ++size;
    return size;
  }
  static size_t rounded(size_t bytes, size_t size) { return size == sizes ? bytes : size_t{64} << size; }

  // what a thread leaves is freed when it ends; what still comes back to it then goes to the system
  struct Kept {
    Blocks blocks{};
    ~Kept() {
      ended_ = true;
      for (Block* first : blocks)
        while (first) {
          Block* const next = first->next;
          ::operator delete(first);
          first = next;
        }
    }
  };
  static Blocks& of_this_thread() {
    static thread_local Kept kept;
    return kept.blocks;
  }
  static inline thread_local bool ended_ = false;
};

template <class T>
struct Allocator {
  using value_type = T;
  Allocator() = default;
  template <class Other>
  Allocator(const Allocator<Other>&) {}
  T* allocate(size_t count) { return static_cast<T*>(Again::take(count * sizeof(T))); }
  void deallocate(T* memory, size_t count) noexcept { Again::give(memory, count * sizeof(T)); }
  friend bool operator==(const Allocator&, const Allocator&) { return true; }
  friend bool operator!=(const Allocator&, const Allocator&) { return false; }
};

// A vector of a run.
template <class T>
using List = std::vector<T, Allocator<T>>;

}  // namespace spikedrive::engine
