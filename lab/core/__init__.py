"""Tools that every package of the lab uses: files, numbers as text, limits, errors, the machine.

Begin with `errors` and `atomic_io`. Imports `models`, and no torch.
"""
