"""From a configuration to a checked model."""
