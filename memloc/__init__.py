"""memloc: where does a self-supervised vision encoder memorize its training images?"""

__version__ = "0.1.0"
