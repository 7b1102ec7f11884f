"""Widgets of Inspect: the prompt bar, the sampling form, the interventions, the time slider, and the columns they stand in.

They draw what they are given and post messages; imports no part of Inspect but `selection` and the model's state.
"""
