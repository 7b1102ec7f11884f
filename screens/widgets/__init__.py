"""Widgets that several modes share, and nothing else."""
