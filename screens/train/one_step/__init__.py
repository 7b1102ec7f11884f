"""One training step in stages, opened from Train.

Begin with `one_step_screen`.
"""
