"""Estimates of a run before it starts: duration, the measured time of a step, and the cost in words.

Begin with `duration_estimate`. Imports what `lab.planning` does.
"""
