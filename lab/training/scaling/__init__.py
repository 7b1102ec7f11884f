"""Scaling: train four sizes for the same minutes, and fit loss against parameters and compute.

Begin with `scaling_plan` (what is trained), `scaling_experiment` (its folder and process);
`scaling_result` reads the runs, `scaling_view` puts them into words. Imports `models`, `lab.core`, `lab.views`, `lab.runs`,
`lab.data`, `lab.planning`, `lab.training` and `lab.analysis`, and no torch.
"""
