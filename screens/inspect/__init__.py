"""Inspect: one prompt followed through one model, a step of the forward pass at a time.

Begin with `inspect_screen`, which composes the parts: `selection` (what is looked at), `engine_session` (asks for it), and a
module for each group of keys (`navigation`, `intervention_keys`, `token_sampling`, `time_travel`, `view_export`, ...), which see
of the screen what `inspect_part` says. Their widgets are in `widgets`.
"""
