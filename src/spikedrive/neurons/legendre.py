"""Legendre memory: a few numbers that keep the last steps of a signal."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons._registry import register_cell
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import checks, equation


def legendre_matrices(order: int, window: float) -> tuple[Float[Tensor, "D D"], Float[Tensor, "D"]]:
    """(A, B) of the memory m_t = A m_(t-1) + B u_t, in fp64.

    *Equation*: the zero-order hold over one step of dm/dt = A' m + B' u, with i, j from 0

        A'_ij = (2 i + 1) / window * (-1 where i < j, else (-1)^(i - j + 1))
        B'_i  = (2 i + 1) / window * (-1)^i

    Where u is constant over each step, this is exact.
    *Units*: the window in steps.
    """
    i = torch.arange(order, dtype=torch.float64)
    sign = torch.where(i[:, None] < i, -1.0, (-1.0) ** (i[:, None] - i + 1))
    rate = (2 * i + 1) / window
    # both at once: the exponential of [[A', B'], [0, 0]] is [[A, B], [0, 1]]
    both = torch.zeros(order + 1, order + 1, dtype=torch.float64)
    both[:order, :order] = rate[:, None] * sign
    both[:order, order] = rate * (-1.0) ** i
    held = torch.linalg.matrix_exp(both)
    return held[:order, :order], held[:order, order]


@register_cell
class LegendreMemory(Neuron):
    """The last `window` steps of each input as coefficients of Legendre polynomials.

    *Equation*: m_t = A m_(t-1) + B u_t for each input, with `legendre_matrices`; the value d steps
    before the end of the last step is about sum_i P_i(2 d / window - 1) m_i, with the Legendre polynomials
    P_i (`recall`).

    *Shapes*: x (T, B, ..., inputs) -> (T, B, ..., inputs * order), the coefficients of one input together.
    *Units*: the window in steps.
    *Multiplies*: A and B are constants and the memory is real, so every step multiplies order^2 + order times
    an input; the audit names both products, and those of the next layer. A and B are not learned.
    With `parallel` the whole input is convolved with the memory's impulse response by FFT: faster in
    training, the same up to rounding, and nothing that the audit counts, so it is off by default.
    *Raises*: ConfigError for a size below 1 or a window of zero or less; ShapeError for another width.
    *Source*: the Legendre memory unit as LMUFormer (arXiv 2402.04882) has it.

    >>> LegendreMemory(2, order=4, window=16)(torch.zeros(5, 1, 2)).shape
    torch.Size([5, 1, 8])
    """

    A: Tensor
    B: Tensor

    def __init__(self, inputs: int = 1, *, order: int, window: float, parallel: bool = False) -> None:
        super().__init__()
        check_count("LegendreMemory", "inputs", inputs)
        check_count("LegendreMemory", "order", order)
        check_number("LegendreMemory", "window", window, above=0)
        self.inputs, self.order, self.window, self.parallel = inputs, order, float(window), parallel
        a, b = legendre_matrices(order, window)
        self.register_buffer("A", a.float())
        self.register_buffer("B", b.float())

    @property
    def domain(self) -> None:
        """Real numbers."""
        return

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S2"]:
        """Nothing remembered."""
        return x.new_zeros(*x.shape[1:], self.order)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S2"]
    ) -> tuple[Float[Tensor, "T B *S3"], Float[Tensor, "B *S2"]]:
        """The coefficients, and the last of them."""
        checks.cell_input("LegendreMemory", x, self.inputs)
        if self.parallel:
            m = _convolved(x, state, self.A, self.B)
            return m.flatten(-2), m[-1]
        m, last = legendre_scan(x, state, self.A, self.B)
        return m.flatten(-2), last

    def recall(self, coefficients: Float[Tensor, "*S D"], delay: float) -> Float[Tensor, "*S"]:
        """The input `delay` steps before the end of the last step, from the memory of one input.

        x_(t - n) lies in the middle of its step, at a delay of n + 1/2. The delay goes up to the window.

        *Shapes*: coefficients (..., order) -> (...).
        """
        check_number("recall", "delay", delay, low=0, high=self.window)
        return coefficients @ _polynomials(self.order, 2 * delay / self.window - 1).to(coefficients)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"inputs={self.inputs}, order={self.order}, window={self.window:g}"


@register_cell
class LMU(Neuron):
    """A Legendre memory of one number, and a layer that reads it beside the input.

    *Equation*: u = relu(W_u x), m the memory of u (order d), h = relu(W_h [m, x]).

    *Shapes*: x (T, B, ..., inputs) -> (T, B, ..., features).
    *Units*: the window in steps.
    *Multiplies*: everything is real: the audit names the memory's products and both layers. The layers
    around spiking populations are `SpikingLMU`.
    *Raises*: as `LegendreMemory`.
    *Source*: LMUFormer (arXiv 2402.04882), the cell without spikes. Its state is the memory's, through `scan`.

    >>> LMU(3, 5, order=4, window=16)(torch.zeros(2, 1, 3)).shape
    torch.Size([2, 1, 5])
    """

    def __init__(
        self, inputs: int, features: int, *, order: int, window: float, parallel: bool = False
    ) -> None:
        super().__init__()
        check_count("LMU", "inputs", inputs)
        check_count("LMU", "features", features)
        self.inputs, self.features = int(inputs), int(features)
        self.write = nn.Linear(inputs, 1)
        # not called, so that this module alone carries the state
        self.memory = LegendreMemory(order=order, window=window, parallel=parallel)
        self.read = nn.Linear(order + inputs, features)

    @property
    def domain(self) -> None:
        """Real numbers."""
        return

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S2"]:
        """Nothing remembered."""
        return self.memory.rest(x[..., :1])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S2"]
    ) -> tuple[Float[Tensor, "T B *S3"], Float[Tensor, "B *S2"]]:
        """What is read, and the memory."""
        checks.cell_input("LMU", x, self.inputs)
        m, last = self.memory.scan(self.write(x).relu(), state)
        return self.read(torch.cat([m, x], -1)).relu(), last

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"inputs={self.inputs}, features={self.features}"


def _polynomials(order: int, at: float) -> Tensor:
    """P_0(at) .. P_(order - 1)(at)."""
    values = [1.0, at]
    for n in range(1, order - 1):
        values.append(((2 * n + 1) * at * values[n] - n * values[n - 1]) / (n + 1))
    return torch.tensor(values[:order], dtype=torch.float64)


def _convolved(x: Tensor, m: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The memory at every step, (T, B, ..., inputs, order), from the impulse response A^t B."""
    steps = x.shape[0]
    powers = [torch.eye(a.shape[0], dtype=a.dtype, device=a.device)]
    for _ in range(steps):
        powers.append(a @ powers[-1])
    response = torch.stack(powers[:-1]) @ b
    from_rest = torch.einsum("tij,b...j->tb...i", torch.stack(powers[1:]), m)
    # long enough that the end does not wrap around to the beginning
    size = 2 ** math.ceil(math.log2(2 * steps))
    spectrum = torch.fft.rfft(x, size, 0)[..., None]
    kernel = torch.fft.rfft(response, size, 0)
    kernel = kernel.view(-1, *[1] * (x.dim() - 1), a.shape[0])
    return torch.fft.irfft(spectrum * kernel, size, 0)[:steps] + from_rest


def _equation(x: Tensor, m: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    states = []
    for u in x.unbind(0):
        m = m @ a.T + u[..., None] * b
        states.append(m)
    return torch.stack(states), m


legendre_scan = equation.define(
    "legendre_scan",
    "(Tensor x, Tensor m, Tensor a, Tensor b) -> (Tensor, Tensor)",
    _equation,
    domain=lambda _: None,
)
