"""Event data sets in the layout in which they were published: one file each, and their names in `DATASETS`."""

from spikedrive.data.events.datasets.asl_dvs import load_asl_dvs
from spikedrive.data.events.datasets.cifar10_dvs import load_cifar10_dvs
from spikedrive.data.events.datasets.daily_dvs200 import load_daily_dvs200
from spikedrive.data.events.datasets.dvs128_gesture import load_dvs128_gesture
from spikedrive.data.events.datasets.hardvs import HARDVS2, load_hardvs
from spikedrive.data.events.datasets.n_caltech101 import load_n_caltech101
from spikedrive.data.events.datasets.n_mnist import load_n_mnist
from spikedrive.data.events.datasets.published import DATASETS, Layout, Published

__all__ = [
    "DATASETS", "HARDVS2", "Layout", "Published", "load_asl_dvs", "load_cifar10_dvs", "load_daily_dvs200",
    "load_dvs128_gesture", "load_hardvs", "load_n_caltech101", "load_n_mnist",
]  # fmt: skip
