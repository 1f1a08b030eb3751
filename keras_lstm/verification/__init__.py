"""Every input, checked; a test split, measured."""
