"""Start the process of a scaling experiment, new or interrupted."""

from lab.core.atomic_io import os_error_in_words
from lab.core.parallel.detached_process import DetachedProcess
from lab.scaling.scaling_experiment import ScalingExperiment
from lab.scaling.scaling_plan import ScalingPlan


def start_scaling(experiment: ScalingExperiment, plan: ScalingPlan | None = None) -> None:
    """Start its process, and return when that owns the experiment. With a `plan`, a new experiment is made of it first.

    The process belongs to no terminal and outlives this one. Where one runs already, in another lab, nothing happens.

    Raises:
        UserError: what `ScalingExperiment.create` raises with a plan, and `ScalingExperiment.plan` without; if the process ends
            at once, with the reason.
    """
    if plan is not None:
        experiment.create(plan)
    else:
        experiment.plan()
    if experiment.is_running():
        return
    try:
        process = DetachedProcess(
            "lab.scaling.scaling_process", [str(experiment.path)], log=experiment.log_path, folder=experiment.path
        )
    except OSError as error:
        raise os_error_in_words(error, f"start {experiment.name}") from error

    def has_begun() -> bool:
        """True also where another lab was quicker."""
        return experiment.status().pid == process.pid or (process.returncode is not None and experiment.is_running())

    process.wait_for_start(has_begun, f"The process of {experiment.name}")
