"""One pass over images that measures every layer, and scores of points and units from it."""
