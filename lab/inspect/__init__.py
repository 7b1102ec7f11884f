"""What Inspect shows: the model cache, a view for each stage of the forward pass, the formula of any number, interventions.

Begin with `stages` (the views) and `formulas` (explain this number). Imports `lab.core`, `lab.views`, `lab.runs`, `lab.data`
and `models`.
"""
