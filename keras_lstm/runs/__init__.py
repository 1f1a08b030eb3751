"""A run folder: its files, its report, reading it back."""
