"""The terminal app, built with Textual: one package per mode, beside what the modes share.

Begin with `app`; screens watch `app_state`, post `messages`, ask `engine_client` and wait for threads by `background`. Each
mode's screen is `MODE/MODE_screen`. Imports the torch-free parts of `lab` and `models`, never torch.
"""
