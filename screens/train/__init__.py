"""The mode Train: the form of a new run, and the view of a run being watched.

Begin with `train_screen`. `run_form` and `new_run` are the form, `run_view` the watched run; its plots are made in `run_plots`,
the pages of insights in `insights`. `compare_screen` and `one_step_screen` open from here.
"""
