"""A view for each stage of the forward pass.

Begin with `stage_registry`, which lists them, and `stage_context`, the input of each view. The attention row of one
query is `attention_scores_stage.scores`. Imports `lab.inspect`, `lab.views`, `lab.core` and `models`.
"""
