"""Powers of two: exponents, rounding and the streams that share them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spikedrive.engine.quantise import (
    Stream,
    best_exponents,
    dequantise,
    largest,
    power_of_two,
    to_integers,
    to_unit,
)

rows = arrays.arrays(
    float,
    st.tuples(st.integers(1, 4), st.integers(1, 6)),
    elements=st.floats(-100, 100, allow_subnormal=False),
)


@settings(max_examples=100, deadline=None)
@given(weight=rows, bits=st.integers(3, 16))
@example(weight=np.array([[2.0**-1022]]), bits=3)
def test_the_chosen_exponent_is_no_worse_than_its_neighbours(weight, bits):
    chosen = best_exponents(weight, bits)

    def error(exponents):
        return ((dequantise(to_integers(weight, exponents, bits), exponents) - weight) ** 2).sum(axis=1)

    used = np.abs(weight).max(axis=1) > 0
    for other in (chosen + 1, chosen - 1):
        assert (error(chosen)[used] <= error(other)[used] * (1 + 1e-12)).all()
    assert np.abs(to_integers(weight, chosen, bits)).max() <= largest(bits)


@settings(max_examples=50, deadline=None)
@given(
    integers=arrays.arrays(np.int64, (3, 5), elements=st.integers(-127, 127)), exponent=st.integers(-20, 3)
)
def test_what_is_on_the_grid_stays_there(integers, exponent):
    weight = integers * 2.0**exponent
    chosen = best_exponents(weight, 8)
    assert (dequantise(to_integers(weight, chosen, 8), chosen) == weight).all()


def test_streams_find_the_finest_unit_within_bounds():
    stream = Stream()
    stream.threshold(0)
    assert stream.exponent(8) == -16
    stream.write(np.array([-5, -18]), 2)
    # a channel of small weights may go 6 bits further than 8, and 2 for inputs up to 4
    assert stream.exponent(8) == -16
    stream.write(np.array([-18]), 8)
    assert stream.exponent(8) == -18
    stream.limit(-25)
    assert stream.exponent(8) == -25


def test_joined_streams_keep_their_difference():
    a, b, c = Stream(), Stream(), Stream()
    a.threshold(3)
    c.threshold(0)
    a.join(b, -2)
    c.join(a, 5)
    assert a.exponent(8) == b.exponent(8) - 2 == c.exponent(8) - 5
    assert a.difference(c) == -5
    assert a.difference(Stream()) is None
    # c's threshold of 1 is the smaller one after the shift: a's is 8, or 2**3
    assert c.exponent(8) == -16
    a.join(c, -5)
    assert c.exponent(8) == -16


def test_a_stream_without_a_neuron_follows_its_weights():
    stream = Stream()
    stream.write(np.array([-9, -12]), 0)
    assert stream.exponent(8) == -9 + 7 - 16


@pytest.mark.parametrize(("number", "log2"), [(1.0, 0), (0.125, -3), (4.0, 2), (0.3, None), (0.0, None), (-2.0, None),
                                              (float("inf"), None), (float("nan"), None)])  # fmt: skip
def test_powers_of_two_are_told_from_others(number, log2):
    assert power_of_two(number) == log2


def test_units_take_the_type_that_fits():
    assert to_unit(np.array([0.75, -0.5]), -2).tolist() == [3, -2]
    assert to_unit(np.array([2.0]), -2, 3).tolist() == [24]
    assert to_unit(np.array([2.0]), -2).dtype == np.int32
    assert to_unit(np.array([2.0]), -40).dtype == np.int64
