"""One training step taken apart: loss, gradients, the optimizer's formula, what moves, the probabilities after.

Begin with `training_step`. Imports `lab.training` and `lab.inspect` and what they import.
"""
