"""The groups of a split. Standard library only, so that planning can use them."""

GROUPS = ("shared", "candidate", "independent", "external")
UNSHARED = ("candidate", "independent", "external")
"""The groups that f and g do not both train on: units are scored on these."""
HALVES = ("candidate", "independent")
"""The groups that one encoder of a pair is trained on and the other isn't: f on the first, g on the second."""
EXCHANGED = {"candidate": "independent", "independent": "candidate"}
"""What the groups of f are to g: the images that it alone is trained on are g's candidates."""
CANDIDATE_AND_NULL = ("candidate", "external")
"""The group that f alone trains on, and the group that neither encoder trains on."""
REPEATED = "repeated"
"""What a split has beside its groups where some images stand in an epoch several times: each so often, less once."""
