"""``python -m memloc``: the command."""

import sys

from memloc.cli import main

sys.exit(main())
