"""A view for each stage of the forward pass.

Begin with `stage_registry`, which lists them, and `stage_context`, what each view is a function of. The attention row of one
query is `attention_scores_stage.scores`. Imports `lab.inspect`, `lab.views`, `lab.core` and `models`.
"""
