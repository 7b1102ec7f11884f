"""The engine: the process beside the screen that holds the model and computes what Inspect shows.

`python -P -m lab.engine.process` runs it. Begin with `method_table` (what can be asked) and `methods` (the implementations).
`client`, `method_table` and `protocol` are the screen's side and need no torch.
"""
