"""One training step in eight stages, opened from Train.

Begin with `one_step_screen`.
"""
