"""The paper in its own order: every table and figure with the run's numbers beside the paper's.

- ``exhibits``: the list, one entry a table or figure: what in a run answers it, and by which columns. Standard library.
- ``sources``: which experiment of a configuration that is, and at which scale. Standard library.
- ``readings``: from an experiment's table to the cells of the paper's. Standard library.
- ``published.yaml``: the paper's numbers.
- ``drawing``, ``page``: figures, tables as CSV, and the page.
"""
