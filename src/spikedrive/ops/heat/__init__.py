"""Heat that spreads over a map, by way of its cosine spectrum."""

from spikedrive.ops.heat.reference import conduct, cosines, decays, products

__all__ = ["conduct", "cosines", "decays", "products"]
