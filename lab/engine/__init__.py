"""The engine: the process beside the screen that holds the model and computes what Inspect shows.

`python -P -m lab.engine.process` runs it. Begin with `methods` (what can be asked) and `protocol` (how). `client`, `protocol` and
`one_step_protocol` are the screen's side and need no torch.
"""
