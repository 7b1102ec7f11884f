"""The mode Learn: short lessons, each with something to try.

Begin with `learn_screen`. The lessons' texts are in `lab/lessons`.
"""
