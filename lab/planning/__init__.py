"""From a request to a run that can start: defaults, checks, cost, duration, autotuning, and the preparation of the run folder.

Begin with `run_request` (what was asked), `resolve_run` (what was decided, and why) and `prepare_run` (the run on disk); the form
of a new run begins in `settings_form`. Imports `lab.core`, `lab.runs` and `lab.data`.
"""
