"""One training step, stage by stage, opened from Train.

Begin with `one_step_screen`.
"""
