// The slope of the spike at u = h - threshold, for each surrogate with a closed form; the equations stand in
// spikedrive/ops/surrogate.py.
#pragma once

#include "kernels.hpp"
#include "lanes/scalar.hpp"

namespace {

using spikedrive::Surrogate;

// Those that take two values only: `inside` where the window holds u, `outside` elsewhere.
template <class V>
struct TwoLevels {
  using Float = typename V::Float;
  enum class Window { below, up_to, from_zero, above_zero, everywhere };
  Window window = Window::everywhere;
  Float bound = V::set(0), inside, outside = V::set(0);

  TwoLevels(Surrogate kind, double alpha) : inside(V::set(alpha)) {
    switch (kind) {
      case Surrogate::rectangular: window = Window::below; bound = V::set(alpha / 2); inside = V::set(1 / alpha); break;
      case Surrogate::rectangular_closed: window = Window::up_to; bound = V::set(alpha / 2); inside = V::set(1 / alpha); break;
      case Surrogate::leaky_rectangular:
        window = Window::below; bound = V::set(alpha); inside = V::set(1 / (2 * alpha)); outside = V::set(0.01); break;
      case Surrogate::relu: window = Window::from_zero; break;
      case Surrogate::heaviside: window = Window::above_zero; break;
      default: break;
    }
  }
  typename V::Mask holds(Float u) const {
    switch (window) {
      case Window::below: return V::gt(bound, V::abs(u));
      case Window::up_to: return V::ge(bound, V::abs(u));
      case Window::from_zero: return V::ge(u, bound);
      case Window::above_zero: return V::gt(u, bound);
      default: return V::all(true);
    }
  }
  Float level(typename V::Mask held) const { return V::select(held, inside, outside); }
  Float operator()(Float u) const { return level(holds(u)); }
};

// Calls `use(holds)` with the window of `kind`, each in code of its own.
template <class V, class Use>
void with_window(Surrogate kind, double alpha, const Use& use) {
  using Float = typename V::Float;
  const TwoLevels<V> two(kind, alpha);
  const Float bound = two.bound;
  switch (kind) {
    case Surrogate::rectangular:
    case Surrogate::leaky_rectangular: return use([bound](Float u) { return V::gt(bound, V::abs(u)); });
    case Surrogate::rectangular_closed: return use([bound](Float u) { return V::ge(bound, V::abs(u)); });
    case Surrogate::relu: return use([](Float u) { return V::ge(u, V::set(0)); });
    case Surrogate::heaviside: return use([](Float u) { return V::gt(u, V::set(0)); });
    default: return use([](Float) { return V::all(true); });
  }
}

// e^x for x <= 0 to the last two bits; below e^-87 it stays at e^-87
template <class V>
typename V::Float exp_of_negative(typename V::Float x) {
  if constexpr (sizeof(typename V::Real) == sizeof(double)) {
    return V::each([](double y) { return std::exp(y); }, x);
  } else {
    using Float = typename V::Float;
    x = V::max(x, V::set(-87));
    const Float n = V::round_even(V::mul(x, V::set(1.4426950408889634)));
    // ln 2 in two parts, the first with so few bits that its product with n is exact
    Float r = V::sub(x, V::mul(n, V::set(0.693359375)));
    r = V::sub(r, V::mul(n, V::set(-2.12194440054690583e-4)));
    Float p = V::set(1.0 / 5040);
    constexpr double series[] = {1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0};
    for (double c : series) p = V::add(V::mul(p, r), V::set(c));
    return V::scale(p, n);
  }
}

template <class V>
typename V::Float square(typename V::Float x) { return V::mul(x, x); }

template <class V>
typename V::Float inverse(typename V::Float x) { return V::div(V::set(1), x); }

template <class V>
typename V::Float sigmoid_slope(typename V::Float u, double alpha) {
  // p (1 - p) = e / (1 + e)^2 with e = exp(-alpha |u|), which never overflows
  const auto e = exp_of_negative<V>(V::mul(V::set(-alpha), V::abs(u)));
  return V::div(V::mul(V::set(alpha), e), square<V>(V::add(V::set(1), e)));
}

template <class V, Surrogate kind>
struct Slope {
  using Float = typename V::Float;
  double alpha;

  Float operator()(Float u) const {
    const Float size = V::abs(u), one = V::set(1);
    if constexpr (kind == Surrogate::sigmoid) return sigmoid_slope<V>(u, alpha);
    if constexpr (kind == Surrogate::atan)
      return V::div(V::set(alpha / 2), V::add(one, square<V>(V::mul(V::set(1.5707963267948966 * alpha), u))));
    if constexpr (kind == Surrogate::triangle)
      return V::mul(V::max(V::sub(V::set(alpha), size), V::set(0)), V::set(1 / (alpha * alpha)));
    if constexpr (kind == Surrogate::exponential)
      return V::mul(V::set(alpha / 2), exp_of_negative<V>(V::mul(V::set(-alpha), size)));
    if constexpr (kind == Surrogate::soft_sign)
      return inverse<V>(V::mul(V::set(2 * alpha), square<V>(V::add(V::set(1 / alpha), size))));
    if constexpr (kind == Surrogate::super_spike) return V::div(V::set(alpha), square<V>(V::add(one, size)));
    if constexpr (kind == Surrogate::fast_sigmoid)
      return inverse<V>(square<V>(V::add(one, V::mul(V::set(alpha), size))));
    if constexpr (kind == Surrogate::sparse_fast_sigmoid)
      return V::keep(V::gt(u, one), inverse<V>(square<V>(V::add(one, V::mul(V::set(alpha), size)))));
    if constexpr (kind == Surrogate::erf)
      return V::mul(V::set(alpha * 0.5641895835477563), exp_of_negative<V>(V::mul(V::set(-alpha * alpha), square<V>(u))));
    if constexpr (kind == Surrogate::log_abs) return inverse<V>(V::add(V::set(1 / alpha), size));
    if constexpr (kind == Surrogate::fourier) {
      const double turn = 6.283185307179586 / alpha;
      return V::mul(V::set(4 / alpha), V::each([turn](double y) { return std::cos(turn * y); }, u));
    }
    if constexpr (kind == Surrogate::s2nn)
      return V::select(V::gt(V::set(0), u), sigmoid_slope<V>(u, alpha), inverse<V>(V::add(one, size)));
    if constexpr (kind == Surrogate::q_pseudo_spike) {
      const double a = alpha;
      return V::each([a](double y) { return std::pow(1 + 2 / (a - 1) * y, -a); }, size);
    }
    if constexpr (kind == Surrogate::log_tailed_relu)
      return V::select(V::gt(u, V::set(0)), inverse<V>(V::max(u, one)), V::set(alpha));
    if constexpr (kind == Surrogate::numerical) return inverse<V>(V::max(size, V::set(1 / alpha)));
    if constexpr (kind == Surrogate::spike_rate_escape)
      return V::mul(V::set(alpha), exp_of_negative<V>(V::sub(V::set(0), V::abs(V::sub(u, one)))));
    if constexpr (kind == Surrogate::tanh_window) {
      // 1 - tanh^2 = 4 e / (1 + e)^2 with e = exp(-2 alpha |u|): twice a sigmoid of slope 2 alpha, over alpha
      const double factor = 1 / std::tanh(alpha / 2);
      return V::keep(V::gt(V::set(0.5), size), V::mul(V::set(factor), sigmoid_slope<V>(u, 2 * alpha)));
    }
    return V::set(0);
  }
};

// Calls `use(slope)` with the slope function of `kind`.
template <class V, class Use>
void with_slope(Surrogate kind, double alpha, const Use& use) {
  switch (kind) {
#define SPIKEDRIVE_SLOPE(name) case Surrogate::name: return use(Slope<V, Surrogate::name>{alpha});
    SPIKEDRIVE_SLOPE(sigmoid) SPIKEDRIVE_SLOPE(atan) SPIKEDRIVE_SLOPE(triangle) SPIKEDRIVE_SLOPE(exponential)
    SPIKEDRIVE_SLOPE(soft_sign) SPIKEDRIVE_SLOPE(super_spike) SPIKEDRIVE_SLOPE(fast_sigmoid)
    SPIKEDRIVE_SLOPE(sparse_fast_sigmoid) SPIKEDRIVE_SLOPE(erf) SPIKEDRIVE_SLOPE(log_abs)
    SPIKEDRIVE_SLOPE(fourier) SPIKEDRIVE_SLOPE(s2nn) SPIKEDRIVE_SLOPE(q_pseudo_spike)
    SPIKEDRIVE_SLOPE(log_tailed_relu) SPIKEDRIVE_SLOPE(numerical) SPIKEDRIVE_SLOPE(spike_rate_escape)
    SPIKEDRIVE_SLOPE(tanh_window)
#undef SPIKEDRIVE_SLOPE
    default: return use(TwoLevels<V>(kind, alpha));
  }
}

}  // namespace
