"""The analytical estimate of Lemaire and others: operations, addresses, and SRAM as large as what it holds."""

from __future__ import annotations

from spikedrive.auditing.energy.published import FUNCTIONS, KILOBYTE, PICO, PROCESS
from spikedrive.auditing.energy.table import TABLES, EnergyTable, Memory

ADDITION, MULTIPLICATION = 0.1 * PICO, 3.1 * PICO
MAC = ADDITION + MULTIPLICATION

TABLES.add(
    "lemaire_2022",
    EnergyTable(
        name="lemaire_2022", mac=MAC, addition=ADDITION, function=MAC, sum=ADDITION, shift=ADDITION,
        membrane_update=ADDITION, address=ADDITION, location=2 * MAC, process=PROCESS,
        precision="int32, one word of 32 bits an access",
        source=(
            "E. Lemaire and others, An analytical estimation of spiking neural networks energy efficiency, ICONIP 2022 "
            "(arXiv 2210.13107), with the int32 figures of Horowitz 2014 and an access of 10 pJ at 8 kB, 20 pJ at "
            "32 kB, 100 pJ at 1 MB"
        ),
        scope=(
            "additions, multiplications, membrane updates, addresses, and every word read and written; a spike is a "
            "message in a queue of 1000; no memory off the chip; comparisons and gates are free"
        ),
        message_bits=32, message_slots=1000, interpolated=True,
        memories=(
            Memory("SRAM of its size", 8 * KILOBYTE, 10 * PICO / 4),
            Memory("SRAM of its size", 32 * KILOBYTE, 20 * PICO / 4),
            Memory("SRAM of its size", 1024 * KILOBYTE, 100 * PICO / 4),
        ),
        derived=(
            FUNCTIONS, "shift: an addition, where the paper charges every leak as a mac",
            "additions: those that happen, where the paper divides a window by its stride",
            "an integer s: s messages", "reset: part of the membrane update",
            "address: of the dense twin one for each element of its maps",
            "beyond 1 MB: the line from 32 kB to 1 MB goes on",
        ),
    ),
)  # fmt: skip
