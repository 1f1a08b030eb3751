"""Errors, options, seeds and files; imports nothing else of the package."""
