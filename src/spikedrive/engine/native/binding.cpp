// The Python face of the engine: the bytes of a program in, integers out.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine.hpp"
#include "file/sdx.hpp"
#include "sparse/binding_sparse.hpp"

namespace nb = nanobind;
using namespace spikedrive::engine;
using namespace nb::literals;

namespace {

using Images = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;

// (steps, batch, shape...) row by row
nb::object as_array(const Tensor& x) {
  const Tensor rows = in_rows(x, x.type);
  List<size_t> shape{static_cast<size_t>(rows.steps), static_cast<size_t>(rows.batch)};
  for (const int64_t n : rows.shape) shape.push_back(static_cast<size_t>(n));
  auto* kept = new std::shared_ptr<Buffer>(rows.memory);
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::shared_ptr<Buffer>*>(p); });
  nb::object made;
  with_type(rows.type, [&](auto kind) {
    using R = decltype(kind);
    made = nb::cast(nb::ndarray<nb::numpy, R>(rows.at<R>(0, 0), shape.size(), shape.data(), owner));
  });
  return made;
}

// The bytes of a file in Python's memory, which holds them as long as a program needs them.
FileBytes held(const nb::object& file, bool mapped) {
  auto view = std::make_unique<Py_buffer>();
  if (PyObject_GetBuffer(file.ptr(), view.get(), PyBUF_SIMPLE)) throw nb::python_error();
  const auto release = [](Py_buffer* held) {
    PyBuffer_Release(held);
    delete held;
  };
  const std::shared_ptr<Py_buffer> kept(view.release(), release);
  return {{kept, static_cast<const uint8_t*>(kept->buf)}, static_cast<size_t>(kept->len), mapped};
}

// How many integers are not in 0..most, which every bound of the program rests on.
int64_t outside(const Images& images, int64_t most) {
  int64_t wrong = 0;
  if (most < 255) wrong = std::count_if(images.data(), images.data() + images.size(), [&](uint8_t n) { return n > most; });
  for (size_t at = 0; most > 255 && at < images.size(); at += sizeof(int32_t)) {
    int32_t n;
    std::memcpy(&n, images.data() + at, sizeof n);
    wrong += n < 0 || n > most;
  }
  return wrong;
}

void check(const Engine& engine, const Images& images, int64_t batch, const std::vector<int>& keep) {
  const Program& program = engine.program();
  const auto count = static_cast<int>(program.ops.size());
  int64_t wanted = 0, most = 255, inputs = 0;
  for (int i = 0; i < count; ++i)
    if (program.ops[i].kind == Kind::Input) {
      ++inputs;
      most = program.values[i].high;
      wanted = program.values[i].steps * program.values[i].size() * batch * width_of(type_for(0, most));
    }
  if (inputs != 1)
    throw std::invalid_argument("The engine got a program of " + std::to_string(inputs) + " inputs; it takes one. " +
                                "Use Program, which checks that.");
  if (batch < 0 || static_cast<int64_t>(images.size()) != wanted)
    throw std::invalid_argument("The engine got " + std::to_string(images.size()) + " bytes for " + std::to_string(batch) +
                                " samples; it takes " + std::to_string(wanted) + ". Use Program.run, which checks shapes.");
  if (const int64_t wrong = outside(images, most))
    throw std::invalid_argument("The engine got " + std::to_string(wrong) + " integers outside of 0 to " + std::to_string(most) +
                                "; it takes none. Use Program.run, which checks token ids.");
  for (const int place : keep)
    if (place < 0 || place >= count)
      throw std::invalid_argument("The engine was asked for operation " + std::to_string(place) + "; it has " +
                                  std::to_string(count) + " of them, from 0 on. Use Program.run, which takes names.");
}

std::vector<nb::object> run(const Engine& engine, const Images& images, int64_t batch, const std::vector<int>& keep, int threads) {
  check(engine, images, batch, keep);
  List<Tensor> results;
  {
    nb::gil_scoped_release unlocked;
    results = engine.run(images.data(), batch, keep, threads);
  }
  std::vector<nb::object> arrays;
  for (const Tensor& result : results) arrays.push_back(as_array(result));
  return arrays;
}

// What a stream carries.
struct Carried {
  State tensors;
  int64_t batch = 0;
};

// One step of a program of one step, which goes on from `carried`.
std::vector<nb::object> step(const Engine& engine, const Images& images, int64_t batch, const std::vector<int>& keep, int threads,
                             Carried& carried) {
  check(engine, images, batch, keep);
  if (carried.batch && carried.batch != batch)
    throw std::invalid_argument("The engine got a step of " + std::to_string(batch) + " samples; its state holds " +
                                std::to_string(carried.batch) + ". Use Program.stream, which checks them.");
  carried.batch = batch;
  List<Tensor> results;
  {
    nb::gil_scoped_release unlocked;
    results = engine.run(images.data(), batch, keep, threads, nullptr, &carried.tensors);
  }
  std::vector<nb::object> arrays;
  for (const Tensor& result : results) arrays.push_back(as_array(result));
  return arrays;
}

// What operation `place` goes on from, (1, batch, shape...) of 64 bits; None while it has not run.
nb::object carried_array(const Carried& carried, size_t place) {
  if (place >= carried.tensors.size() || !carried.tensors[place].memory) return nb::none();
  return as_array(in_rows(carried.tensors[place], Type::i64));
}

// `array` is (batch, shape...).
void carry_array(Carried& carried, const Engine& engine, size_t place, const nb::ndarray<const int64_t, nb::c_contig, nb::device::cpu>& array) {
  const Program& program = engine.program();
  carried.tensors.resize(program.ops.size());
  const Value& value = program.values.at(place);
  if (array.ndim() == 0 || static_cast<int64_t>(array.size()) != value.size() * static_cast<int64_t>(array.shape(0)))
    throw std::invalid_argument("The engine got a state of " + std::to_string(array.size()) + " integers for operation " +
                                std::to_string(place) + "; it takes " + std::to_string(value.size()) +
                                " a sample. Use Program.stream, which checks shapes.");
  carried.batch = static_cast<int64_t>(array.shape(0));
  Tensor& made = carried.tensors[place];
  made = empty(Type::i64, 1, carried.batch, value.shape, dense_strides(value.shape, static_cast<int64_t>(value.shape.size()) - 1));
  std::copy(array.data(), array.data() + array.size(), made.at<int64_t>(0, 0));
}

Report reported(const Engine& engine, const Images& images, int64_t batch, int threads) {
  check(engine, images, batch, {});
  nb::gil_scoped_release unlocked;
  Report report;
  engine.run(images.data(), batch, {static_cast<int>(engine.program().ops.size()) - 1}, threads, &report);
  return report;
}

// What each operation took, in seconds.
std::vector<double> times(const Engine& engine, const Images& images, int64_t batch, int threads) {
  return reported(engine, images, batch, threads).seconds;
}

// How often each operation meets what each cost is for, by lists and by dense tiles; zeros where there is no choice.
std::vector<std::array<std::array<double, cost::count>, 2>> amounts(const Engine& engine, const Images& images, int64_t batch) {
  std::vector<std::array<std::array<double, cost::count>, 2>> found;
  for (const Amounts& each : reported(engine, images, batch, 1).amounts) found.push_back({each.lists, each.dense});
  return found;
}

nb::dict costs_of(const std::string& level) {
  const Costs costs = builtin_costs(kernels_of(level).name);
  nb::dict named;
  for (size_t i = 0; i < cost::count; ++i) named[cost_names[i]] = costs[i];
  return named;
}

// Those built in, but for the ones that are named.
Costs with_named(const std::string& level, const std::map<std::string, double>& named) {
  Costs costs = builtin_costs(kernels_of(level).name);
  for (const auto& [name, cost] : named) {
    const auto found = std::find(cost_names.begin(), cost_names.end(), name);
    if (found == cost_names.end() || !std::isfinite(cost) || cost < 0)
      throw std::invalid_argument("The engine got the cost " + name + " = " + std::to_string(cost) +
                                  "; it takes nanoseconds, 0 or more, by the names in costs(level). Measure them: " +
                                  "spikedrive bench --calibrate.");
    costs[found - cost_names.begin()] = cost;
  }
  return costs;
}

}  // namespace

NB_MODULE(_run, m) {
  nb::class_<Engine>(m, "Engine")
      // `bounds` (low, high, peak) of each operation hold beyond one step; `costs`, in nanoseconds by name, replace those built in;
      // `mapped`: `file` is a mapped one
      .def("__init__", [](Engine* self, const nb::object& file, const std::string& level,
                          const std::vector<std::array<int64_t, 3>>& bounds, const std::map<std::string, double>& costs, bool mapped) {
        Program program = parse(held(file, mapped));
        for (size_t i = 0; !bounds.empty() && i < program.values.size(); ++i) {
          Value& value = program.values[i];
          value.low = std::min(value.low, bounds.at(i)[0]);
          value.high = std::max(value.high, bounds.at(i)[1]);
          value.peak = std::max(value.peak, bounds.at(i)[2]);
        }
        new (self) Engine(std::move(program), level, with_named(level, costs));
      }, "file"_a, "level"_a, "bounds"_a = std::vector<std::array<int64_t, 3>>{}, "costs"_a = std::map<std::string, double>{},
         "mapped"_a = false)
      .def_prop_ro("level", [](const Engine& engine) { return std::string(engine.level()); })
      .def("run", &run)
      .def("step", &step)
      .def("times", &times)
      .def("amounts", &amounts)
      .def("set_costs", [](Engine& engine, const std::map<std::string, double>& costs) { engine.set_costs(with_named(engine.level(), costs)); });
  nb::class_<Carried>(m, "State")
      .def(nb::init<>())
      .def("get", &carried_array)
      .def("set", &carry_array);
  m.def("levels", &levels_here);
  // nanoseconds by name, as they are built in for an instruction set
  m.def("costs", &costs_of);
  bind_sparse(m);
}
