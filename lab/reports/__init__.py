"""What runs mean: diagnosis, baselines, comparison, timeline, and what training takes of the machine.

Begin with `diagnosis`. Imports `lab.core`, `lab.views`, `lab.runs`, `lab.data` and `lab.planning`, and no torch.
"""
