"""From scores to tables, claims and figures."""
