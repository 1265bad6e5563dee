// The Python face of sparse convolutions.
#pragma once

#include <nanobind/nanobind.h>

namespace spikedrive::engine {

void bind_sparse(nanobind::module_& m);

}  // namespace spikedrive::engine
