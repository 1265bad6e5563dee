#include "binding_sparse.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>

#include "sparse_conv.hpp"

namespace nb = nanobind;

namespace spikedrive::engine {

namespace {

template <class R, int axes>
using Given = nb::ndarray<const R, nb::ndim<axes>, nb::c_contig, nb::device::cpu>;

template <class R>
nb::ndarray<nb::numpy, R> copied(const R* from, std::initializer_list<size_t> shape) {
  size_t count = 1;
  for (const size_t n : shape) count *= n;
  auto made = std::make_unique<R[]>(count);
  std::copy(from, from + count, made.get());
  const nb::capsule owner(made.get(), [](void* p) noexcept { delete[] static_cast<R*>(p); });
  return {made.release(), shape, owner};
}

std::tuple<nb::object, nb::object, nb::object> arrays(const Rules& rules) {
  const size_t count = rules.tap.size();
  return {nb::cast(copied(rules.starts.data(), {rules.starts.size()})), nb::cast(copied(rules.tap.data(), {count})),
          nb::cast(copied(rules.input.data(), {count}))};
}

nb::ndarray<nb::numpy, int32_t> run(const SparseConv& conv, const Rules& rules, const Given<uint8_t, 2>& spikes, int threads) {
  const auto sites = static_cast<int64_t>(spikes.shape(0)), channels = static_cast<int64_t>(spikes.shape(1));
  if (sites != rules.sites || channels != conv.channels() || rules.taps != conv.taps())
    throw std::invalid_argument("A sparse convolution got spikes (" + std::to_string(sites) + ", " + std::to_string(channels) +
                                ") and a rule-book of " + std::to_string(rules.sites) + " sites and " +
                                std::to_string(rules.taps) + " taps; it takes " + std::to_string(conv.channels()) +
                                " channels and " + std::to_string(conv.taps()) + " taps. Use engine.sparse, which checks.");
  const auto outputs = static_cast<size_t>(conv.outputs()), count = static_cast<size_t>(sites);
  auto made = std::make_unique<int32_t[]>(count * outputs);
  {
    nb::gil_scoped_release unlocked;
    conv.run(rules, spikes.data(), made.get(), threads);
  }
  const nb::capsule owner(made.get(), [](void* p) noexcept { delete[] static_cast<int32_t*>(p); });
  return {made.release(), {count, outputs}, owner};
}

}  // namespace

void bind_sparse(nb::module_& m) {
  nb::class_<Rules>(m, "Rules")
      .def("__init__", [](Rules* self, const Given<int32_t, 2>& coordinates, const std::vector<int64_t>& kernel) {
        const auto sites = static_cast<int64_t>(coordinates.shape(0)), axes = static_cast<int64_t>(coordinates.shape(1));
        const bool odd = std::all_of(kernel.begin(), kernel.end(), [](int64_t size) { return size > 0 && size % 2; });
        if (axes != static_cast<int64_t>(kernel.size()) + 1 || sites > INT32_MAX || !odd)
          throw std::invalid_argument("A rule-book got sites of " + std::to_string(axes) + " axes for a kernel of " +
                                      std::to_string(kernel.size()) + "; it takes one more, and odd sizes. Use engine.sparse, which checks.");
        new (self) Rules(coordinates.data(), sites, axes, kernel);
      })
      .def("arrays", &arrays);
  nb::class_<SparseConv>(m, "SparseConv")
      .def("__init__", [](SparseConv* self, const Given<int8_t, 3>& weight, const Given<int32_t, 1>& shift, const Given<int32_t, 1>& bias) {
        const size_t outputs = weight.shape(0);
        if (shift.shape(0) != outputs || bias.shape(0) != outputs)
          throw std::invalid_argument("A sparse convolution of " + std::to_string(outputs) + " outputs got " +
                                      std::to_string(shift.shape(0)) + " shifts and " + std::to_string(bias.shape(0)) +
                                      " biases; it takes one each. Use engine.sparse, which checks.");
        new (self) SparseConv(weight.data(), static_cast<int64_t>(outputs), static_cast<int64_t>(weight.shape(1)),
                              static_cast<int64_t>(weight.shape(2)), shift.data(), bias.data());
      })
      .def("run", &run);
}

}  // namespace spikedrive::engine
