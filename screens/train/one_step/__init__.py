"""One training step taken apart, opened from Train.

Begin with `one_step_screen`.
"""
