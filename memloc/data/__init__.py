"""Images: where they come from, how they are prepared, divided and augmented."""
