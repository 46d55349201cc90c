"""Signs of memorization that do not look at alignment."""
