"""The report and its timings."""
