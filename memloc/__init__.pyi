from memloc.live.score import score as score
from memloc.live.value import value as value

__version__: str
