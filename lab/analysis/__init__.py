"""Analysis of runs: diagnosis, baselines, comparison, head scores, timeline, update ratios, machine usage.

Begin with `diagnose`. Imports `models`, `lab.core`, `lab.views`, `lab.runs`, `lab.data` and `lab.planning`, and no torch.
"""
