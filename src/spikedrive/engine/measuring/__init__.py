"""What a measurement of the engine is made of: a fair race, networks of a stated density, and their rivals."""
