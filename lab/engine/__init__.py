"""The engine: the process beside the screen that holds the model and computes what Inspect shows.

`python -P -m lab.engine.process` runs it. Begin with `method_registry` and `method_bindings`, their implementations.
`client`, `method_registry` and `protocol` are the screen's side and need no torch. Imports `models`, `lab.core`, `lab.views`,
`lab.runs`, `lab.data`, `lab.planning`, `lab.inspect`, `lab.training.one_step` and `lab.experiments`.
"""
