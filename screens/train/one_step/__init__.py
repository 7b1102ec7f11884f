"""One training step in seven stages, opened from Train.

Begin with `one_step_screen`.
"""
