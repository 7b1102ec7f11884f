"""Inspect without a screen: model and trace cache, a view per stage of the forward pass, explain this number, interventions.

Begin with `stages` (the views) and `formulas` (explain this number). Imports `models`, `lab.core`, `lab.views`, `lab.runs`
and `lab.data`.
"""
