"""The metrics: pure functions of numpy arrays."""
