"""``memloc.score`` and ``memloc.value``: what the commands do, of what is in memory."""
