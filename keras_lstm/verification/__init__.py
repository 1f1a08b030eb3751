"""Exhaustive checks of inputs, and evaluation on test splits."""
