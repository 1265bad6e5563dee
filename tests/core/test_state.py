"""The one convention of time and state, and every trap that it must not fall into."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch
from torch import nn

from spikedrive.encoders import Direct
from spikedrive.errors import ConfigError, ShapeError, StateError
from spikedrive.neurons import ILIF, LIF, PLIF
from spikedrive.ops import over_time
from spikedrive.state import Stateful, Stream, plain_path, recompute, run


class Net(nn.Module):
    """A small network of frames (T, B, 2, 6, 6) -> (T, B, 3) with three kinds of state."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.lif = LIF(threshold=0.2)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.plif = PLIF(threshold=0.2)
        self.fc = nn.Linear(4 * 36, 3)
        self.ilif = ILIF(carry=True, decay=0.25)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.lif(over_time(self.conv, x))
        x = self.plif(over_time(self.conv2, x))
        return self.ilif(over_time(self.fc, x.flatten(2)) * 4 + 1)


@pytest.fixture
def net() -> Net:
    net = Net().eval().requires_grad_(False)
    x = torch.rand(4, 2, 2, 6, 6)
    assert net(x).sum() > 0
    return net


FRAMES = (8, 3, 2, 6, 6)


def test_a_call_is_pure(net) -> None:
    x = torch.rand(FRAMES)
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("chunks", [[1] * 8, [3, 5], [2, 2, 4]])
def test_chunks_equal_the_whole(net, chunks) -> None:
    x = torch.rand(FRAMES)
    state, parts = None, []
    for part in x.split(chunks):
        y, state = run(net, part, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts), net(x))


def test_two_streams_of_different_batch_size_share_one_model(net) -> None:
    a, b = torch.rand(FRAMES), torch.rand(8, 5, 2, 6, 6)
    one, two = Stream(net), Stream(net)
    pairs = [(one(a[t : t + 1]), two(b[t : t + 1])) for t in range(8)]
    assert torch.equal(torch.cat([p[0] for p in pairs]), net(a))
    assert torch.equal(torch.cat([p[1] for p in pairs]), net(b))


def test_a_reset_stream_starts_from_rest(net) -> None:
    x = torch.rand(FRAMES)
    stream = Stream(net)
    first = stream(x)
    stream(x)
    stream.reset()
    assert torch.equal(stream(x), first)


def test_causal_in_time(net) -> None:
    x = torch.rand(FRAMES)
    late = x.clone()
    late[5:] = 0
    assert torch.equal(net(late)[:5], net(x)[:5])


def test_nothing_of_the_state_is_in_the_module(net) -> None:
    x = torch.rand(FRAMES)
    keys = set(net.state_dict())
    stream = Stream(net)
    stream(x[:3])
    assert set(net.state_dict()) == keys
    twin = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    assert torch.equal(twin(x), net(x))


def test_two_backward_passes_need_no_reset() -> None:
    net = Net()
    x = torch.rand(FRAMES)
    net(x).sum().backward()
    net(x).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_detach_cuts_the_gradient_at_the_state() -> None:
    net = Net()
    x = torch.rand(FRAMES)
    assert all(v.requires_grad for v in run(net, x)[1].values())
    assert not any(v.requires_grad for v in run(net, x, detach=True)[1].values())


def test_threads_with_two_states_never_mix(net) -> None:
    inputs = [torch.rand(12, 2, 2, 6, 6) for _ in range(4)]
    expected = [net(x) for x in inputs]
    found: dict[int, list[torch.Tensor]] = {i: [] for i in range(4)}
    start = threading.Barrier(4)

    def work(i: int) -> None:
        start.wait()
        stream = Stream(net)
        found[i] = [stream(x) for x in inputs[i].split(1)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        assert torch.equal(torch.cat(found[i]), expected[i])


def test_a_plain_call_in_another_thread_starts_from_rest(net) -> None:
    x = torch.rand(FRAMES)
    expected, seen = net(x), []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, y: torch.Tensor) -> torch.Tensor:
            # the first neurons of this run carry state now; the other thread must not see it
            z = self.net.lif(over_time(self.net.conv, y))
            thread = threading.Thread(target=lambda: seen.append(net(x)))
            thread.start()
            thread.join()
            return z

    _, state = run(Spy(), x)
    run(Spy(), x, state)
    assert all(torch.equal(y, expected) for y in seen) and len(seen) == 2


def test_a_shared_part_in_two_running_threads_is_refused() -> None:
    lif = LIF()
    inside, go_on = threading.Event(), threading.Event()

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = lif

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inside.set()
            assert go_on.wait(20)
            return self.lif(x)

    class Quick(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = lif

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif(x)

    x = torch.rand(2, 1, 3)
    thread = threading.Thread(target=lambda: run(Slow(), x))
    thread.start()
    assert inside.wait(20)
    with pytest.raises(StateError, match="shared by two models that run in two threads"):
        run(Quick(), x)
    go_on.set()
    thread.join()
    assert lif._cell is None


def test_a_run_inside_a_run_keeps_both_states(net) -> None:
    x, other = torch.rand(FRAMES), torch.rand(FRAMES)
    inner: list[torch.Tensor] = []

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, y: torch.Tensor) -> torch.Tensor:
            inner.append(run(net, other)[0])
            return self.net(y)

    outer = Outer()
    _, state = run(outer, x[:4])
    y, _ = run(outer, x[4:], state)
    assert torch.equal(y, net(x)[4:])
    assert all(torch.equal(z, net(other)) for z in inner)


def test_an_exception_inside_leaves_no_state_behind(net) -> None:
    x = torch.rand(FRAMES)
    handle = net.fc.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(net, x)
    handle.remove()
    assert all(m._cell is None for m in net.modules() if isinstance(m, Stateful))
    assert torch.equal(run(net, x)[0], net(x))


def test_one_neuron_in_two_places_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = LIF()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif(self.lif(x) * 0.9)

    with pytest.raises(StateError, match="called 2 times in one run"):
        run(Twice(), torch.rand(2, 1, 3))


def test_a_module_that_needs_the_whole_is_refused() -> None:
    class Whole(LIF):
        refuses_streaming = "it averages over all of T"

    with pytest.raises(StateError, match=r"cannot stream: it averages over all of T"):
        run(nn.Sequential(Whole()), torch.rand(2, 1, 3))


def test_a_neuron_that_this_call_skips_keeps_its_state() -> None:
    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif, self.extra, self.use = LIF(), LIF(), True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.extra(x) if self.use else self.lif(x)

    net, x = Skips(), torch.rand(3, 1, 4)
    _, state = run(net, x)
    net.use = False
    _, after = run(net, x, state)
    assert torch.equal(after["extra"], state["extra"])


def test_a_state_of_another_model_is_refused(net) -> None:
    with pytest.raises(ConfigError, match="run got a state with 'elsewhere'"):
        run(net, torch.rand(FRAMES), {"elsewhere": torch.zeros(1)})


def test_a_state_of_another_batch_size_is_refused(net, unchecked) -> None:
    _, state = run(net, torch.rand(FRAMES))
    with pytest.raises(ShapeError, match="start again with state=None"):
        run(net, torch.rand(8, 5, 2, 6, 6), state)


def test_steps_gives_more_of_a_static_input() -> None:
    net = nn.Sequential(Direct(4), LIF())
    x = torch.rand(2, 5) * 2
    whole = nn.Sequential(Direct(6), LIF())(x)
    first, state = run(net, x)
    more, _ = run(net, x, state, steps=2)
    assert torch.equal(torch.cat([first, more]), whole)


def test_steps_without_a_static_encoder_is_refused(net) -> None:
    with pytest.raises(ConfigError, match="Net has no encoder of static input"):
        run(net, torch.rand(FRAMES), steps=2)
    with pytest.raises(ConfigError, match="at least 1"):
        run(nn.Sequential(Direct(), LIF()), torch.rand(1, 2), steps=0)
    with pytest.raises(ConfigError, match=r"steps=1\.5; it takes a whole number"):
        run(nn.Sequential(Direct(), LIF()), torch.rand(1, 2), steps=1.5)  # pyright: ignore[reportArgumentType]


def test_along_tokens_carries_token_mixers_only() -> None:
    class Sum(Stateful):
        """A running sum over tokens."""

        axis = "tokens"

        def rest(self, x):
            return torch.zeros_like(x[0])

        def scan(self, x, state):
            y = x.cumsum(0) + state
            return y, y[-1]

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.lif = Sum(), LIF()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif(self.mix(x))

    net, x = Mixer(), torch.rand(6, 1, 3)
    _, state = run(net, x[:4], along="tokens")
    assert set(state) == {"mix"}
    y, _ = run(net, x[4:], state, along="tokens")
    assert torch.equal(y, net.lif(net.mix(x)[4:]))


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("carried", [True, False])
def test_recompute_gives_the_same_gradients(detach, carried) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.on = Net(), False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return recompute(self.net, x) if self.on else self.net(x)

    model = Checkpointed()
    x = torch.rand(FRAMES)

    def gradients(on: bool) -> tuple[list[torch.Tensor], dict]:
        model.on = on
        model.zero_grad()
        if carried:
            first, state = run(model, x[:4], detach=detach)
            last, state = run(model, x[4:], state)
            (last.sum() + first.sum()).backward()
        else:
            state = {}
            model(x).sum().backward()
        return [p.grad.clone() for p in model.parameters()], state

    (plain, state), (again, state_again) = gradients(False), gradients(True)
    assert any(g.abs().sum() > 0 for g in plain)
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert all(torch.equal(state[k], state_again[k]) for k in state)


def test_recompute_saves_memory_for_the_backward_pass() -> None:
    block, x = Net(), torch.rand(FRAMES, requires_grad=True)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        block(x)
        plain = sum(kept)
        kept.clear()
        recompute(block, x)
    assert sum(kept) < plain / 2


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("module.lif", "lif"),
        ("_orig_mod.module.lif", "lif"),
        ("module._orig_mod.blocks.0.lif", "blocks.0.lif"),
        ("blocks.0._orig_mod.lif", "blocks.0.lif"),
        ("_forward_module.module.lif", "lif"),
        ("blocks.module.lif", "blocks.module.lif"),
    ],
)
def test_wrappers_leave_no_trace_in_a_path(path, plain) -> None:
    assert plain_path(path) == plain


def test_state_crosses_torch_compile_and_back(net, unchecked) -> None:
    x = torch.rand(FRAMES)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    _, state = run(net, x[:3])
    y, new = run(compiled, x[3:], state)
    assert torch.allclose(y, net(x)[3:]) and set(new) == set(state)
    y, _ = run(net, x[3:], run(compiled, x[:3])[1])
    assert torch.allclose(y, net(x)[3:])


def test_state_crosses_ddp(net, tmp_path) -> None:
    x = torch.rand(FRAMES)
    net.requires_grad_(True)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(net)
        _, state = run(wrapped, x[:3], detach=True)
        assert set(state) == {"lif", "plif", "ilif"}
        assert torch.equal(run(net, x[3:], state)[0], net(x)[3:])
    finally:
        torch.distributed.destroy_process_group()


class Step(nn.Module):
    """One chunk with explicit state, for export."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor, state: dict[str, torch.Tensor]):
        return run(self.net, x, state)


def test_model_and_step_export(net) -> None:
    x = torch.rand(FRAMES)
    whole = torch.export.export(net, (x,), dynamic_shapes=({1: torch.export.Dim("batch")},))
    assert torch.equal(whole.module()(x[:, :2]), net(x[:, :2]))
    _, state = run(net, x[:3])
    step = torch.export.export(Step(net), (x[3:4], state)).module()
    y, new = step(x[3:4], state)
    expected, after = run(net, x[3:4], state)
    assert torch.equal(y, expected) and all(torch.equal(new[k], after[k]) for k in after)


def test_step_compiles_without_a_break(net, unchecked) -> None:
    x = torch.rand(FRAMES)
    _, state = run(net, x[:3])
    y, _ = torch.compile(Step(net), backend="eager", fullgraph=True)(x[3:], state)
    assert torch.allclose(y, net(x)[3:])
