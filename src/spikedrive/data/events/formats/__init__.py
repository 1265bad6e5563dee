"""Files that older cameras and single data sets have: read only, each from the format's own description."""

from spikedrive.data.events.formats.aedat2 import read_aedat2
from spikedrive.data.events.formats.aedat3 import read_aedat3
from spikedrive.data.events.formats.atis import read_atis
from spikedrive.data.events.formats.dat import DatFile, open_dat
from spikedrive.data.events.formats.png16 import read_png16

__all__ = ["DatFile", "open_dat", "read_aedat2", "read_aedat3", "read_atis", "read_png16"]
