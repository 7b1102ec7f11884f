"""One training step under the microscope, opened from Train.

Begin with `one_step_screen`.
"""
