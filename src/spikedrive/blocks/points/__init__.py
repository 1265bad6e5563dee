"""Sets of points: what stands for the convolutions of pictures."""

from spikedrive.blocks.points.coding import PointCoding, PointGroups

__all__ = ["PointCoding", "PointGroups"]
