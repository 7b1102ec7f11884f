"""The best run for the minutes that one has: shape, vocabulary, batch and dropout for the lowest validation loss at the end.

Begin with `plan_for_minutes`. `loss_law` says what a run reaches, `step_speed` how many steps fit. Imports what `lab.planning`
does.
"""
