// The Python face of the engine: the bytes of a program in, integers out.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine.hpp"
#include "file/sdx.hpp"
#include "sparse/binding_sparse.hpp"

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
  int64_t wanted = 0, most = 255;
  for (int i = 0; i < count; ++i)
    if (program.ops[i].kind == Kind::Input) {
      most = program.values[i].high;
      wanted = program.values[i].steps * program.values[i].size() * batch * width_of(type_for(0, most));
    }
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
  check(engine, images, batch, {});
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
  bind_sparse(m);
}
