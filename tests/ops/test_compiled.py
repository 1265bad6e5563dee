"""The scans under torch.compile: the reference's numbers, one compile for all sizes, and a fall that is said."""

from __future__ import annotations

import threading

import pytest
import torch

from ops.test_native import INTEGERS, NEURONS, run
from spikedrive import native
from spikedrive.neurons import LIF, PLIF
from spikedrive.ops import compiled, implementation
from spikedrive.ops.lif.options import Options


@pytest.fixture
def loops(monkeypatch) -> list[str]:
    """Scans made without a compiler, by their names."""
    made = []

    def note(loop):
        made.append(loop.__name__)
        return loop

    monkeypatch.setattr(compiled, "_loops", {})
    monkeypatch.setattr(compiled, "_under_torch_compile", note)
    monkeypatch.setattr(compiled, "unavailable", lambda: "")
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "compiled")
    compiled._say_once.cache_clear()
    return made


@pytest.fixture
def traced(loops, monkeypatch) -> list[int]:
    """Scans that dynamo has traced, as torch.compile would before it makes code, by their numbers of inputs."""
    seen = []

    def backend(module, inputs):
        seen.append(len(inputs))
        return module.forward

    # a property whose annotations are executed is more than dynamo takes
    monkeypatch.setattr(Options, "learned", property(lambda o: isinstance(o.decay, torch.Tensor)))
    monkeypatch.setattr(
        compiled,
        "_under_torch_compile",
        lambda loop: torch.compile(loop, fullgraph=True, dynamic=False, backend=backend),
    )
    return seen


def both(neuron, x, monkeypatch):
    found = run(neuron, x)
    with monkeypatch.context() as patch:
        patch.setenv("SPIKEDRIVE_IMPL", "reference")
        return found, run(neuron, x)


def said(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "spikedrive"]


def same(found, expected, tolerance=0.0) -> None:
    for a, b in zip(found[0], expected[0], strict=True):
        assert torch.equal(a, b) and a.stride() == b.stride()
    for a, b in zip(found[1], expected[1], strict=True):
        # a learned decay's gradient is a sum over the layer, taken in another order
        bound = tolerance if a.dim() else 1e-5 if a.dtype.itemsize > 2 else 1e-2
        torch.testing.assert_close(a, b, rtol=bound, atol=bound)


@pytest.mark.parametrize("name", [*NEURONS, *INTEGERS])
def test_a_step_on_one_axis_gives_the_same(name, loops, monkeypatch) -> None:
    neuron = (NEURONS | INTEGERS)[name]()
    image = torch.randn(2 * 3, 4, 2, 6).to(memory_format=torch.channels_last).unflatten(0, (2, 3))
    for x in (torch.randn(1, 4), image, image[:, :, ::2]):
        same(*both(neuron, x, monkeypatch))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("make", [LIF, PLIF, INTEGERS["one step"], INTEGERS["carried"]])
def test_every_type_and_the_smallest_sizes_give_the_same(make, dtype, loops, monkeypatch) -> None:
    neuron = make().to(dtype)
    for shape in ((2, 3, 5), (3, 1), (2, 0, 4)):
        same(*both(neuron, torch.randn(shape, dtype=dtype), monkeypatch))


@pytest.mark.parametrize("make", [PLIF, INTEGERS["carried"]])
def test_dynamo_takes_each_scan_whole_and_once_for_all_sizes(
    make, traced, unchecked, monkeypatch, caplog
) -> None:
    neuron = make()
    for shape in ((3, 2, 7), (3, 5), (3, 2, 3, 4)):
        same(*both(neuron, torch.randn(shape), monkeypatch))
    assert len(traced) == 2, "one forward, one backward"
    run(neuron, torch.randn(2, 2, 7))
    assert len(traced) == 4, "another number of steps"
    (message,) = said(caplog)
    assert "The first scan of each kind and number of steps waits tens of seconds" in message
    assert "SPIKEDRIVE_IMPL=reference does not" in message


def test_many_options_and_a_learned_decay_keep_their_own_forms(traced, unchecked, monkeypatch) -> None:
    x = torch.randn(1, 3)
    with torch.no_grad():
        # more of them than torch.compile keeps of one piece of code
        for k in range(10):
            LIF(0.5 + 0.01 * k)(x)
    assert len(traced) == 10
    neuron = PLIF(2.0)
    for _ in range(3):
        same(*both(neuron, x, monkeypatch))
        with torch.no_grad():
            next(neuron.parameters()).add_(0.1)
    assert len(traced) == 12


@pytest.fixture
def inductor(monkeypatch, require) -> None:
    """The real thing."""
    require(not compiled.unavailable(), f"torch.compile for the CPU ({compiled.unavailable()})")
    monkeypatch.setattr(compiled, "_loops", {})
    monkeypatch.setattr(Options, "learned", property(lambda o: isinstance(o.decay, torch.Tensor)))
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "compiled")


# torch's own, at its first import of inductor
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_inductor_gives_the_same_bits(inductor, unchecked, monkeypatch) -> None:
    neuron = LIF(0.7, reset_value=-0.1)
    for shape in ((2, 3, 37), (2, 5)):
        x = torch.randn(shape) * 8
        with monkeypatch.context() as patch:
            patch.setenv("SPIKEDRIVE_IMPL", "reference")
            expected = neuron(x)
        assert torch.equal(neuron(x), expected) and expected.any()
    (loop,) = compiled._loops.values()
    assert loop.__name__ != "plain_scan", "it fell to the reference"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, torch.float32) for name in [*NEURONS, *INTEGERS]]
    + [(name, torch.bfloat16) for name in ("hard", "ternary, window", "one step", "carried")]
    + [(name, torch.float64) for name in ("learned", "current", "repeated")],
)
def test_inductor_gives_every_neuron_the_same_bits(name, dtype, inductor, unchecked, monkeypatch) -> None:
    neuron = (NEURONS | INTEGERS)[name]().to(dtype)
    for shape in ((3, 2, 7), (3, 1, 4097), (3, 3, 5, 3, 3)):
        x = (torch.randn(shape) * 2).to(dtype)
        same(*both(neuron, x, monkeypatch), tolerance=1e-6)
    assert all(loop.__name__ != "plain_scan" for loop in compiled._loops.values()), "it fell to the reference"


def test_what_cannot_be_made_runs_as_it_is_and_says_so_once(loops, monkeypatch, caplog) -> None:
    def refuse(loop):
        def broken(*tensors):
            loops.append(loop.__name__)
            raise RuntimeError("no space left\non the disk")

        return broken

    monkeypatch.setattr(compiled, "_under_torch_compile", refuse)
    neuron, image = LIF(), torch.randn(2 * 3, 4, 2, 6).to(memory_format=torch.channels_last)
    for _ in range(2):
        same(*both(neuron, image.unflatten(0, (2, 3)), monkeypatch))
    assert len(loops) == 2, "tried once forward, once backward"
    assert said(caplog)[1:] == [
        "torch.compile failed, this scan runs as a plain loop: RuntimeError: no space left on the disk"
    ]


def test_the_limit_of_torch_compile_is_said(traced, unchecked, caplog) -> None:
    x = torch.randn(2, 3) * 8
    with torch._dynamo.config.patch(recompile_limit=1):
        y = LIF()(x)
        torch.set_num_threads(2)
        try:
            assert torch.equal(LIF()(x), y) and y.any()
        finally:
            torch.set_num_threads(1)
    assert "this scan runs as a plain loop: FailOnRecompileLimitHit" in said(caplog)[-1]


def test_no_result_shares_memory_with_another_or_an_input(loops, monkeypatch) -> None:
    monkeypatch.setattr(compiled, "_under_torch_compile", lambda _: lambda x: (x, x[0], x))
    x = torch.randn(2, 3)
    results = torch.ops.spikedrive.lif_scan(
        x, None, 0.5, 1.0, True, True, 0.0, False, True, "atan", 2.0, True
    )
    assert len({y.untyped_storage().data_ptr() for y in (x, *results)}) == 4


def test_long_scans_are_not_unrolled(loops, caplog) -> None:
    x = torch.randn(compiled.LONGEST + 1, 3)
    run(LIF(), x)
    run(PLIF(), x)
    run(LIF(), x[1:])
    assert len(loops) == 2
    long, waits = said(caplog)
    assert "more than 32 steps are not unrolled" in long and "waits tens of seconds" in waits


@pytest.mark.parametrize("make", [LIF, INTEGERS["carried"]])
def test_shapes_alone_make_nothing(make, loops, unchecked) -> None:
    neuron, x = make(), torch.randn(2, 3, 4)
    exported = torch.export.export(neuron, (x,))
    with torch._subclasses.FakeTensorMode() as mode:
        neuron(mode.from_tensor(x).requires_grad_()).sum().backward()
    assert not loops
    assert torch.equal(exported.module()(x), neuron(x)) and len(loops) == 1


def test_a_model_that_is_itself_compiled_runs_it(traced, unchecked, monkeypatch) -> None:
    neuron, x = LIF(), torch.randn(2, 3, 4, requires_grad=True)
    torch._dynamo.reset()
    model = torch.compile(torch.nn.Sequential(neuron), backend="aot_eager", fullgraph=True)
    y = model(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert len(traced) == 2
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    expected = neuron(x)
    assert torch.equal(y, expected) and torch.equal(gradient, torch.autograd.grad(expected.sum(), x)[0])


def test_another_thread_and_every_mode_get_the_same(traced, unchecked) -> None:
    neuron, x = LIF(), torch.randn(2, 3, 4, requires_grad=True)
    y, found = neuron(x), []
    thread = threading.Thread(target=lambda: found.append(torch.autograd.grad(y.sum(), x)[0]))
    thread.start()
    thread.join()
    assert torch.equal(found[0], torch.autograd.grad(neuron(x).sum(), x)[0])
    with torch.no_grad():
        assert torch.equal(neuron(x), y)
    with torch.inference_mode():
        assert torch.equal(neuron(x), y) and torch.equal(neuron(x.clone()), y)
    # what is handed out may be written to
    with torch.no_grad():
        neuron(x).add_(1)
    neuron(x).add_(1).sum().backward()
    assert torch.equal(x.grad, found[0])


@pytest.fixture
def bare(monkeypatch) -> None:
    """A package without the compiled module."""
    monkeypatch.setattr(native, "train", None)
    monkeypatch.setattr(native, "missing", "it was not built")
    implementation._say_once.cache_clear()
    compiled._say_once.cache_clear()


def test_it_is_chosen_where_the_module_is_missing(loops, bare, monkeypatch, caplog) -> None:
    monkeypatch.delenv("SPIKEDRIVE_IMPL")
    x = torch.zeros(2, 3)
    assert implementation.choose(x) == "compiled" == implementation.choose(x.half(), native_covers=False)
    assert implementation.choose(x.to("meta")) == "reference" and not said(caplog)
    LIF()(x)
    assert [line[:52] for line in said(caplog)] == ["neurons run under torch.compile (it was not built). "]
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    assert implementation.choose(x) == "reference"


@pytest.mark.parametrize("forced", [None, "compiled"])
def test_without_either_the_reference_runs_and_says_why_once(forced, bare, monkeypatch, caplog) -> None:
    if forced:
        monkeypatch.setenv("SPIKEDRIVE_IMPL", forced)
    compiled.unavailable.cache_clear()
    x = torch.randn(2, 3) * 8
    try:
        with torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}):
            y = LIF()(x)
            assert torch.equal(LIF()(x), y) and y.any()
    finally:
        compiled.unavailable.cache_clear()
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    assert torch.equal(LIF()(x), y)
    assert said(caplog) == [
        "no kernels for this, it runs in PyTorch: it was not built; "
        "torch.compile finds no C++ compiler (InvalidCxxCompiler)"
    ]
