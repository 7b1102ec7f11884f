"""Experiments: a question put to the model at hand, answered with a picture and the numbers measured for it.

The lessons and the claims of Learn name them. Begin with `experiment_registry`; a subject is a file. Files of experiments import
torch; a screen may import `experiment_result` and `experiment_context`, which do not. Imports `models`, `lab.core`, `lab.views`,
`lab.runs`, `lab.data`, `lab.tokenization`, `lab.training`, `lab.analysis` and `lab.inspect`.
"""
