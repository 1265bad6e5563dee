"""Tables of 45 nm figures: the papers' convention, integer widths, and both with memory."""

from __future__ import annotations

from spikedrive.auditing.energy.table import TABLES, EnergyTable, Memory, unpriced

PICO = 1e-12
KILOBYTE = 1024
PROCESS = "45 nm, 0.9 V"
HOROWITZ = "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014"

# the source gives what one access of 64 bits costs: 10, 20 and 100 pJ, and 1300 to 2600 pJ off the chip
HIERARCHY = (
    Memory("SRAM 8 kB", 8 * KILOBYTE, 10 * PICO / 8),
    Memory("SRAM 32 kB", 32 * KILOBYTE, 20 * PICO / 8),
    Memory("SRAM 1 MB", 1024 * KILOBYTE, 100 * PICO / 8),
    Memory("DRAM", None, 1300 * PICO / 8),
)

ARITHMETIC_ONLY = (
    "synaptic additions and multiplications only; memory traffic, membrane updates, shortcuts, biases, comparisons, "
    "shifts and gates are free"
)
EVERYTHING = (
    "every counted operation of the model, and every byte at the memory that holds the tensor; of the dense twin its "
    "multiply-accumulates and bytes, so that its biases, shortcuts and activation functions are free; no control, no "
    "leakage, no network on the chip"
)
FUNCTIONS = "function: a mac, as a lower bound"

TABLES.add(
    "45nm",
    EnergyTable(
        name="45nm", mac=4.6 * PICO, addition=0.9 * PICO, function=4.6 * PICO, process=PROCESS, precision="fp32",
        source=f"{HOROWITZ}: fp32 multiplication 3.7 pJ, addition 0.9 pJ",
        scope=f"the papers' convention: {ARITHMETIC_ONLY}", memories=unpriced(HIERARCHY), derived=(FUNCTIONS,),
    ),
)  # fmt: skip


def _integers(bits: int, multiplication: float, addition: float, said: str, *derived: str) -> EnergyTable:
    mac = (multiplication + addition) * PICO
    return EnergyTable(
        name=f"45nm_int{bits}", mac=mac, addition=addition * PICO, function=mac, process=PROCESS,
        precision=f"int{bits}, sums included", source=f"{HOROWITZ}: {said}", scope=ARITHMETIC_ONLY,
        weight_bits=bits, activation_bits=bits, membrane_bits=bits, memories=unpriced(HIERARCHY),
        derived=(*derived, FUNCTIONS),
    )  # fmt: skip


TABLES.add("45nm_int8", _integers(8, 0.2, 0.03, "int8 multiplication 0.2 pJ, addition 0.03 pJ"))
TABLES.add(
    "45nm_int16",
    _integers(16, 0.8, 0.05, "int16 addition 0.05 pJ",
              "mac: the multiplication of 0.8 pJ lies between those of int8 and int32"),
)  # fmt: skip
TABLES.add("45nm_int32", _integers(32, 3.1, 0.1, "int32 multiplication 3.1 pJ, addition 0.1 pJ"))


def _with_memory(
    name: str, precision: str, mac: float, addition: float, bits: int, said: str, *derived: str
) -> EnergyTable:
    one = addition * PICO
    return EnergyTable(
        name=name, mac=mac * PICO, addition=one, function=mac * PICO, sum=one, compare=one, shift=one, gate=one,
        membrane_update=one, process=PROCESS, precision=precision,
        source=f"{HOROWITZ}: {said}; 64 bits of SRAM 10 pJ (8 kB), 20 pJ (32 kB), 100 pJ (1 MB), of DRAM 1300 pJ",
        scope=EVERYTHING, weight_bits=bits, activation_bits=bits, membrane_bits=32, memories=HIERARCHY,
        derived=(
            *derived, FUNCTIONS, "compare, shift, gate, membrane_update: an addition",
            "a write: a read", "a byte: an eighth of an access of 64 bits, since words are packed",
            "DRAM: the lower end of 1300 to 2600 pJ",
        ),
    )  # fmt: skip


TABLES.add(
    "45nm_memory",
    _with_memory("45nm_memory", "fp32", 4.6, 0.9, 32, "fp32 multiplication 3.7 pJ, addition 0.9 pJ"),
)
TABLES.add(
    "45nm_int8_memory",
    _with_memory("45nm_int8_memory", "int8 weights and activations, int32 sums and membranes", 0.3, 0.1, 8,
                 "int8 multiplication 0.2 pJ, int32 addition 0.1 pJ",
                 "mac: an int8 multiplication and an int32 addition"),
)  # fmt: skip
