"""The audit: which multiplications a model is left with, and why."""
