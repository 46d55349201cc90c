"""Entries of experiments by what they ask about; ``memloc.experiments`` joins them."""
