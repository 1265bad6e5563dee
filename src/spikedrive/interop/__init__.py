"""Exchange with other tools: one package or file for each, its dependency an extra."""
