"""``python -m memloc.cli``."""

import sys

from memloc.cli import main

sys.exit(main())
