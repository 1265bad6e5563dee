"""The Neuromorphic Intermediate Representation: a network as a graph that other simulators and chips read.

`to_nir` and `from_nir` need the extra `spikedrive[nir]`; `mapping`, which says what becomes of a neuron, does not.
"""

from spikedrive.interop.nir.mappings import MAPPINGS, Mapping, mapping
from spikedrive.interop.nir.reading import from_nir
from spikedrive.interop.nir.steps import EveryStep, InputAffine
from spikedrive.interop.nir.writing import to_nir

__all__ = ["MAPPINGS", "EveryStep", "InputAffine", "Mapping", "from_nir", "mapping", "to_nir"]
