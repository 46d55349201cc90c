"""Scores of any encoder: how it and its images are opened, what is measured, the page that shows it."""
