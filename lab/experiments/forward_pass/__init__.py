"""Experiments on the way from a prompt to its next token."""
