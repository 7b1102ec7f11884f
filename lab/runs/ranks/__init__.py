"""Ranks: the processes, on one machine or several, that train a run together."""
