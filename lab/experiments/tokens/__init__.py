"""Experiments on text and tokens."""
