"""A view for each stage of the forward pass.

Begin with `stage_table`, which lists them, and `stage_context`, what each is a function of. Imports `lab.inspect`,
`lab.views`, `lab.core`, `lab.data`.
"""
