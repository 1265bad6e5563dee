// The Python face of the engine: the bytes of a program in, integers out.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "engine.hpp"
#include "file/sdx.hpp"

namespace nb = nanobind;
using namespace spikedrive::engine;

namespace {

using Images = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;

// (steps, batch, shape...) row by row
nb::object as_array(const Tensor& x) {
  const Tensor rows = in_rows(x, x.type);
  std::vector<size_t> shape{static_cast<size_t>(rows.steps), static_cast<size_t>(rows.batch)};
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

std::vector<nb::object> run(const Engine& engine, const Images& images, int64_t batch, const std::vector<int>& keep, int threads) {
  std::vector<Tensor> results;
  {
    nb::gil_scoped_release unlocked;
    results = engine.run(images.data(), batch, keep, threads);
  }
  std::vector<nb::object> arrays;
  for (const Tensor& result : results) arrays.push_back(as_array(result));
  return arrays;
}

// What each operation took, in seconds.
std::vector<double> times(const Engine& engine, const Images& images, int64_t batch, int threads) {
  nb::gil_scoped_release unlocked;
  std::vector<double> seconds;
  engine.run(images.data(), batch, {static_cast<int>(engine.program().ops.size()) - 1}, threads, &seconds);
  return seconds;
}

}  // namespace

NB_MODULE(_run, m) {
  nb::class_<Engine>(m, "Engine")
      .def("__init__", [](Engine* self, const nb::bytes& file, const std::string& level) {
        const auto* data = static_cast<const uint8_t*>(file.data());
        new (self) Engine(parse(std::vector<uint8_t>(data, data + file.size())), level);
      })
      .def_prop_ro("level", [](const Engine& engine) { return std::string(engine.level()); })
      .def("run", &run)
      .def("times", &times);
  m.def("levels", &levels_here);
}
