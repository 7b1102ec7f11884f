"""Experiments: a question put to the model at hand, answered with a picture and the numbers measured for it.

The lessons and the claims of Learn name them. Begin with `experiment_registry`; a subject is a file. torch is imported inside
functions only, so that a screen may import names and results. Imports `models`, `lab.core`, `lab.views`, `lab.runs`, `lab.data`,
`lab.tokenization`, `lab.training`, `lab.analysis` and `lab.inspect`.
"""
