#include "engine.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "plain.hpp"
#include "products.hpp"

namespace spikedrive::engine {

namespace {

constexpr int64_t most32 = INT32_MAX;

bool fits32(const Value& value) { return value.peak <= most32 && value.high <= most32 && value.low >= -most32; }

bool in_bytes(const Value& value) { return value.low >= 0 && value.high <= 255; }

// Whether a membrane, its rungs or what a reset takes away may pass 32 bits.
bool wide_membrane(const Op& op, const Value& y) {
  const int64_t most = *std::max_element(op.ladder.begin(), op.ladder.end());
  const auto resets = static_cast<__int128>(std::max(op.threshold, -op.threshold)) * static_cast<int64_t>(op.ladder.size());
  return y.peak > most32 || most > most32 || resets > most32 || op.fraction >= 32;
}

// Strides under which the tensor is dense, if it is.
std::optional<Shape> dense_layout(const Tensor& x) {
  List<size_t> axes;
  for (size_t axis = 0; axis < x.shape.size(); ++axis)
    if (x.shape[axis] > 1) axes.push_back(axis);
  std::sort(axes.begin(), axes.end(), [&](size_t a, size_t b) { return x.strides[a] < x.strides[b]; });
  int64_t stride = 1;
  for (const size_t axis : axes) {
    if (x.strides[axis] != stride) return std::nullopt;
    stride *= x.shape[axis];
  }
  const bool whole = x.batch_stride == stride && (x.steps == 1 || x.step_stride == stride * x.batch);
  return whole ? std::optional<Shape>(x.strides) : std::nullopt;
}

}  // namespace

Engine::Engine(Program program, const std::string& level, const std::optional<Costs>& costs)
    : program_(std::move(program)),
      kernels_(kernels_of(level.empty() ? levels_here().back() : level)),
      costs_(costs ? *costs : builtin_costs(kernels_.name)) {
  plan();
  // what was read so far is packed once more, layer by layer
  program_.bytes.release();
}

bool Engine::fits_layer(const Op& op) const {
  const Value& x = program_.values[op.inputs[0]];
  const Value& y = program_.values[&op - program_.ops.data()];
  if (!in_bytes(x) || !fits32(y) || op.weight.bits != 8) return false;
  if (op.kind == Kind::Linear) return true;
  const bool depthwise = op.groups > 1 && op.groups == op.weight.shape[0] && op.weight.shape[1] == 1;
  // windows of rows that are longer than a list of them may be, and those with gaps, run plainly
  const bool dense = op.groups == 1 && op.dilation == Pair{1, 1};
  return x.shape.size() == 3 && (depthwise || dense) && op.stride[0] == op.stride[1] && op.weight.shape[2] <= most_segments;
}

bool Engine::fits_neuron(const Op& op) const {
  const int place = static_cast<int>(&op - program_.ops.data());
  const Value& y = program_.values[place];
  return in_bytes(y) && fits32(program_.values[op.inputs[0]]) && op.repeats <= 255 && op.ladder.size() <= 255 &&
         op.decay < (wide_membrane(op, y) ? 64 : 32);
}

bool Engine::fits_product(const Op& op) const {
  const Value &a = program_.values[op.inputs[0]], &b = program_.values[op.inputs[1]];
  const auto words = [](const Value& x) { return x.low >= INT16_MIN && x.high <= INT16_MAX; };
  return fits32(program_.values[&op - program_.ops.data()]) && words(a) && words(b);
}

bool Engine::follows(const Op& op, int last, int begin) const {
  const Value& y = program_.values[&op - program_.ops.data()];
  if (last < 0 || !fits32(y) || !fits32(program_.values[last])) return false;
  // a stage gives 32 bits, which products do not take for bytes
  const auto& readers = readers_[&op - program_.ops.data()];
  const auto takes = [&](int reader) {
    const Kind kind = program_.ops[reader].kind;
    return kind == Kind::Neuron || kind == Kind::Shift || kind == Kind::Add || kind == Kind::Conv2d || kind == Kind::Linear;
  };
  if (in_bytes(y) && !std::all_of(readers.begin(), readers.end(), takes)) return false;
  if (op.kind == Kind::Shift) return op.left < 32;
  if (op.kind != Kind::Add || op.inputs[0] == op.inputs[1]) return false;
  const int other = op.inputs[0] == last ? op.inputs[1] : op.inputs[0];
  const Value& beside = program_.values[other];
  return other < begin && fits32(beside) && beside.shape == program_.values[last].shape;
}

bool Engine::passes_bits(const Op& layer, int place) const {
  if (program_.ops[place].kind != Kind::Neuron || program_.values[place].high > 1) return false;
  return std::all_of(readers_[place].begin(), readers_[place].end(), [&](int reader) {
    const Op& op = program_.ops[reader];
    return op.kind == layer.kind && fits_layer(op);
  });
}

void Engine::plan() {
  const auto& ops = program_.ops;
  const auto& values = program_.values;
  plans_.resize(ops.size());
  fires_.resize(ops.size());
  readers_.resize(ops.size());
  for (size_t i = 0; i < ops.size(); ++i)
    for (const int input : ops[i].inputs) readers_[input].push_back(static_cast<int>(i));
  List<bool> taken(ops.size(), false);
  for (int i = 0; i < static_cast<int>(ops.size()); ++i) {
    const Op& op = ops[i];
    if (op.kind == Kind::Neuron) {
      fires_[i] = {op.ladder.data(), static_cast<int64_t>(op.ladder.size()), op.threshold, op.rest,
                   static_cast<int>(op.decay), static_cast<int>(op.fraction), static_cast<int>(op.repeats), op.hard,
                   op.decay_input, op.carry, wide_membrane(op, values[i])};
    }
    if (taken[i]) continue;
    const bool layer = (op.kind == Kind::Conv2d || op.kind == Kind::Linear) && fits_layer(op);
    const bool begins = layer || (op.kind == Kind::Neuron && fits_neuron(op)) || follows(op, op.inputs.empty() ? -1 : op.inputs[0], i);
    if (!begins) continue;
    plans_[i].fast = true;
    plans_[i].chain.push_back(i);
    if (layer) {
      const int64_t columns = op.kind == Kind::Conv2d ? values[i].shape[2] : 1;
      plans_[i].weights = packed(op, program_.bytes, kernels_.vector_bytes, values[op.inputs[0]].high, columns);
    }
    // what follows: sums with tensors that are there already, and one neuron
    for (int last = i; ops[last].kind != Kind::Neuron;) {
      int next = -1;
      for (const int reader : readers_[last]) {
        if (taken[reader]) continue;
        const Op& r = ops[reader];
        if (follows(r, last, i)) {
          next = reader;
          break;
        }
        if (next < 0 && r.kind == Kind::Neuron && fits_neuron(r)) next = reader;
      }
      if (next < 0) break;
      taken[next] = true;
      plans_[i].chain.push_back(next);
      last = next;
    }
    plans_[i].bits = layer && passes_bits(op, plans_[i].chain.back());
  }
}

List<Tensor> Engine::run(const uint8_t* images, int64_t batch, const std::vector<int>& keep, int threads,
                                Report* report, State* state) const {
  using Clock = std::chrono::steady_clock;
  if (report) *report = {std::vector<double>(program_.ops.size()), std::vector<Amounts>(program_.ops.size())};
  if (state) state->resize(program_.ops.size());
  const auto& ops = program_.ops;
  List<Tensor> live(ops.size());
  List<bool> kept(ops.size(), false), done(ops.size(), false);
  for (const int place : keep) kept[place] = true;
  List<size_t> waiting(ops.size());
  for (size_t i = 0; i < ops.size(); ++i) waiting[i] = readers_[i].size();
  for (int i = 0; i < static_cast<int>(ops.size()); ++i) {
    const auto start = Clock::now();
    if (!done[i]) {
      if (ops[i].kind == Kind::Input) {
        const Value& value = program_.values[i];
        const Type type = type_for(value.low, value.high);
        live[i] = empty(type, value.steps, batch, value.shape,
                        dense_strides(value.shape, static_cast<int64_t>(value.shape.size()) - 1));
        std::copy(images, images + value.steps * batch * value.size() * width_of(type), live[i].at<uint8_t>(0, 0));
      } else if (plans_[i].fast) {
        stage(i, live, kept, threads, state, report ? &report->amounts[i] : nullptr);
        for (const int place : plans_[i].chain) done[place] = true;
      } else {
        live[i] = step(i, live, threads, state);
      }
    }
    if (report) report->seconds[i] = std::chrono::duration<double>(Clock::now() - start).count();
    for (const int input : ops[i].inputs)
      if (--waiting[input] == 0 && !kept[input]) live[input] = Tensor{};
  }
  List<Tensor> results;
  for (const int place : keep) results.push_back(live[place]);
  return results;
}

Tensor* Engine::carried(int place, State* state, int64_t batch, Type type, const Shape& strides) const {
  const Op& op = program_.ops[place];
  if (!state || !(op.kind == Kind::SumSteps || (op.kind == Kind::Neuron && op.carry))) return nullptr;
  Tensor& found = (*state)[place];
  found = found.memory ? arranged(found, type, strides) : at_rest(op, program_.values[place], batch, type, strides);
  return &found;
}

Tensor Engine::step(int place, const List<Tensor>& live, int threads, State* state) const {
  const Op& op = program_.ops[place];
  const Value& value = program_.values[place];
  const Tensor& x = live[op.inputs[0]];
  switch (op.kind) {
    case Kind::Scale: return x;
    case Kind::Reshape: return reshaped(x, op.shape);
    case Kind::Permute: return permuted(x, op.axes);
    case Kind::Slice: return sliced(x, op.axis, op.start, op.stop);
    case Kind::MatMul:
      if (fits_product(op)) {
        // the next product, if it has this one on its left, reads its columns side by side
        const auto& readers = readers_[place];
        const Op* next = readers.size() == 1 ? &program_.ops[readers[0]] : nullptr;
        const bool left = next && next->kind == Kind::MatMul && next->inputs[0] == place;
        const auto most = [&](int input) { return program_.values[op.inputs[input]].high; };
        const KnownProduct known{value.shape, most(0), most(1), value.peak, left};
        if (const auto made = product(x, live[op.inputs[1]], known, kernels_, threads)) return *made;
      }
      break;
    default: break;
  }
  List<Tensor> inputs;
  for (const int input : op.inputs) inputs.push_back(live[input]);
  const auto last = static_cast<int64_t>(value.shape.size()) - 1;
  return plain(op, value, inputs, carried(place, state, x.batch, Type::i64, dense_strides(value.shape, last)));
}

void Engine::stage(int place, List<Tensor>& live, const List<bool>& kept, int threads, State* state,
                   Amounts* amounts) const {
  const Plan& plan = plans_[place];
  const Op& op = program_.ops[place];
  const Value& value = program_.values[place];
  Tensor x = live[op.inputs[0]];
  StageRun run{};
  run.kernels = &kernels_;
  run.threads = threads;
  run.batch = x.batch;
  run.amounts = amounts;
  Shape layout;
  if (plan.weights) {
    const bool conv = op.kind == Kind::Conv2d;
    const auto last = static_cast<int64_t>(x.shape.size()) - 1;
    if (x.type != Type::bits) x = arranged(x, Type::u8, dense_strides(x.shape, conv ? 0 : last));
    layout = dense_strides(value.shape, conv ? 0 : static_cast<int64_t>(value.shape.size()) - 1);
    run.weights = plan.weights.get();
    run.outputs = run.weights->outputs;
    run.positions = value.size() / run.outputs;
    run.binary = program_.values[op.inputs[0]].high <= 1;
    const bool matrix = !conv || (run.weights->rows == 1 && run.weights->columns == 1 && op.stride == Pair{1, 1} &&
                                  op.padding == Pair{0, 0});
    Geometry& map = run.map;
    if (matrix) {
      map.columns = map.in_columns = run.positions;
    } else {
      map = {value.shape[1], value.shape[2], x.shape[1], x.shape[2], op.stride[0], op.stride[1], op.padding[0], op.padding[1],
             op.dilation[0], op.dilation[1]};
    }
  } else {
    const auto dense = dense_layout(x);
    layout = dense ? *dense : dense_strides(x.shape, side_by_side(x.shape));
    x = arranged(x, x.type == Type::u8 ? Type::u8 : Type::i32, layout);
    run.outputs = 1;
    run.positions = value.size();
  }
  run.input = x;
  run.steps = 1;
  // what somebody else reads, or wants to see, is written to memory
  List<Tensor> others, results(plan.chain.size());
  others.reserve(plan.chain.size());
  for (size_t link = 0; link < plan.chain.size(); ++link) {
    const int at = plan.chain[link];
    const Op& linked = program_.ops[at];
    const Value& known = program_.values[at];
    const bool neuron = linked.kind == Kind::Neuron;
    const size_t inside = link + 1 < plan.chain.size() ? 1 : 0;
    if (!neuron && (kept[at] || readers_[at].size() > inside))
      results[link] = empty(Type::i32, known.steps, run.batch, known.shape, layout);
    run.steps = std::max(run.steps, known.steps);
    const Tensor* result = results[link].memory ? &results[link] : nullptr;
    if (link == 0 && plan.weights) {
      run.sums = result;
      continue;
    }
    StageRun::Link made;
    made.result = result;
    if (neuron) {
      made.fire = &fires_[at];
      made.result = &results[link];
      const Tensor* membranes = carried(at, state, run.batch, fires_[at].wide ? Type::i64 : Type::i32, layout);
      if (membranes) made.state = membranes->at<uint8_t>(0, 0);
    } else if (linked.kind == Kind::Shift) {
      made.left = static_cast<int>(linked.left);
    } else {
      const int before = link ? plan.chain[link - 1] : linked.inputs[0];
      const int other = linked.inputs[0] == before ? linked.inputs[1] : linked.inputs[0];
      const Tensor& given = live[other];
      others.push_back(arranged(given, given.type == Type::u8 ? Type::u8 : Type::i32, layout));
      made.other = &others.back();
    }
    run.chain.push_back(made);
    if (!neuron) continue;
    results[link] = plan.bits && !kept[at] && settles(run)
                        ? empty_bits(known.steps, run.batch, known.shape, run.positions, run.outputs)
                        : empty(Type::u8, known.steps, run.batch, known.shape, layout);
  }
  run_stage(run, costs_);
  for (size_t link = 0; link < plan.chain.size(); ++link)
    if (results[link].memory) {
      // integers of 8 bits with a sign, say, that a layer gives stay 32 bits wide
      live[plan.chain[link]] = results[link];
    }
}

}  // namespace spikedrive::engine
