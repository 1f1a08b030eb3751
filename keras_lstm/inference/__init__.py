"""Prediction, streaming, export."""
