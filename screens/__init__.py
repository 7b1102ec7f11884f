"""The terminal app, built with Textual: one package per mode.

Begin with `app`. Imports the torch-free parts of `lab` and `models`, never torch.
"""
