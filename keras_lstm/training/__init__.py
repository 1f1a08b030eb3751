"""Training: from a configuration to a checked model."""
