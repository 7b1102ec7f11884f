"""The engine: the process beside the screen that holds the model and computes what Inspect shows.

`python -P -m lab.engine.process` runs it. Begin with `method_registry` (the questions) and `method_bindings` (who answers them).
`client`, `method_registry` and `protocol` are the screen's side and need no torch.
"""
