"""From a request to a run that can start: defaults, cost, time per step, device, and the preparation of the run folder.

Begin with `run_request` and `prepare_run`. Imports `lab.core`, `lab.runs` and `lab.data`.
"""
