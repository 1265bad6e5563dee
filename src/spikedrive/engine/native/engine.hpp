// Runs a program: stages where kernels fit, views where nothing moves, plain loops for the rest.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/kernels.hpp"
#include "program.hpp"
#include "stage.hpp"
#include "tensor.hpp"

namespace spikedrive::engine {

// What a stream carries from step to step, by operation: the membranes (batch, shape...) of a neuron, or the sum so far.
// Without memory they are at rest, or zero.
using State = List<Tensor>;

// By operation: seconds, and what a choice between lists and dense tiles rested on; that one is exact on one thread.
struct Report {
  std::vector<double> seconds;
  std::vector<Amounts> amounts;
};

class Engine {
 public:
  // `level` names an instruction set, or is empty for the best of this machine. `costs` replace those built in for it.
  Engine(Program program, const std::string& level, const std::optional<Costs>& costs = std::nullopt);

  const Program& program() const { return program_; }
  const char* level() const { return kernels_.name; }
  // from the next run on
  void set_costs(const Costs& costs) { costs_ = costs; }

  // The tensors of the operations at `keep`, for `batch` samples of bytes (steps, batch, shape...) row by row; where the
  // input may pass 255, of four bytes each. The caller has checked that they lie within what is known of the input.
  // `report`, where given, gets what each operation took; those that ran together stand with the first of them.
  // `state`, where given, is read and then holds what the steps left behind.
  List<Tensor> run(const uint8_t* images, int64_t batch, const std::vector<int>& keep, int threads,
                          Report* report = nullptr, State* state = nullptr) const;

 private:
  struct Plan {
    // the operations that run together with this one, in order; empty for one that a stage before it has run
    std::vector<int> chain;
    std::shared_ptr<const Weights> weights;
    bool fast = false;
    // whether a neuron at the end of the chain may leave bits, since everybody who reads it takes them
    bool bits = false;
  };

  void plan();
  bool fits_layer(const Op& op) const;
  bool fits_neuron(const Op& op) const;
  bool fits_product(const Op& op) const;
  // whether `op` can go on with what `last` gives, in a stage that begins at `begin`
  bool follows(const Op& op, int last, int begin) const;
  bool passes_bits(const Op& layer, int place) const;
  Tensor step(int place, const List<Tensor>& live, int threads, State* state) const;
  void stage(int place, List<Tensor>& live, const List<bool>& kept, int threads, State* state, Amounts* amounts) const;
  // what the operation goes on from, in the type and layout that it is read in; null where it carries nothing
  Tensor* carried(int place, State* state, int64_t batch, Type type, const Shape& strides) const;

  Program program_;
  const Kernels& kernels_;
  Costs costs_;
  std::vector<Plan> plans_;
  std::vector<Fire> fires_;
  std::vector<std::vector<int>> readers_;
};

}  // namespace spikedrive::engine
