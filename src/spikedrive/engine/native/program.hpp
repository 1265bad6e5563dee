// An integer program in memory: what engine/ir.py, arithmetic.py and layout.py describe, field for field.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "again.hpp"

namespace spikedrive::engine {

using Shape = List<int64_t>;

// What is known of one tensor (steps, batch, shape...) before it exists; see Value in ir.py.
struct Value {
  Shape shape;
  int64_t steps = 1, low = 0, high = 0, peak = 0, exponent = 0, divisor = 1;

  int64_t size() const {
    int64_t count = 1;
    for (const int64_t n : shape) count *= n;
    return count;
  }
};

// Signed little-endian integers of 8, 16, 32 or 64 bits, in the bytes of the file.
struct Array {
  int bits = 8;
  Shape shape;
  const uint8_t* data = nullptr;
};

enum class Kind {
  Input, Neuron, Conv2d, Linear, Add, Multiply, MatMul, Shift, Scale, Sum, SumSteps, MaxPool2d, Reshape, Permute,
  Slice, Concat, Pad, Embedding,
};

using Pair = std::array<int64_t, 2>;

// One operation with the fields of every kind; those of another kind stay as they are here.
struct Op {
  Kind kind = Kind::Input;
  std::string name, module;
  // places of earlier operations
  std::vector<int> inputs;
  // Conv2d, Linear, Embedding (which has no bias)
  Array weight, shift, bias;
  Pair stride{1, 1}, padding{0, 0}, dilation{1, 1}, kernel{1, 1};
  int64_t groups = 1;
  // Neuron
  List<int64_t> ladder;
  int64_t threshold = 0, rest = 0, decay = 0, repeats = 1, fraction = 0;
  bool hard = false, decay_input = false, carry = false;
  // Input, Neuron, SumSteps
  int64_t steps = 1;
  // Input, Reshape
  Shape shape;
  // Input
  int64_t high = 255;
  // Permute, Sum
  List<int64_t> axes;
  bool keep = false, mean = false;
  // Slice, Concat
  int64_t axis = 0, start = 0, stop = 0;
  // Shift, Scale
  int64_t left = 0, power = 0;
  // Pad
  std::vector<std::pair<int64_t, int64_t>> widths;
  int64_t value = 0;
  // Conv2d, Linear, Embedding, Neuron
  int64_t exponent = 0;
};

// The bytes of a file, read or mapped; copies share them.
struct FileBytes {
  std::shared_ptr<const uint8_t> data;
  size_t size = 0;
  bool mapped = false;

  // Lets go of the memory of so many bytes of a mapped file, which is read again where somebody asks for them.
  void release(const uint8_t* from, size_t count) const;
  void release() const { release(data.get(), size); }
};

// Operations in order with what is known of the tensor that each gives. `bytes` is what arrays point into.
struct Program {
  std::vector<Op> ops;
  std::vector<Value> values;
  FileBytes bytes;
  // the file's meta, as JSON
  std::string meta;
};

}  // namespace spikedrive::engine
