"""From a request to a run that can start: defaults, checks, cost, duration, autotuning, and the preparation of the run folder.

Begin with `settings_table` (the settings given), `resolve_run` (all of them, with reasons) and `prepare_run` (the run on disk:
its text by `prepare_text`, the settings of a run by minutes by `plan_for_minutes`, with `expected_loss` and `step_time`); the
form of a new run begins in `settings_form`. Imports `models`, `lab.core`, `lab.runs` and `lab.data`.
"""
