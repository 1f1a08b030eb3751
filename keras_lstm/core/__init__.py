"""Knows nothing of the rest: errors, options, seeds, files."""
