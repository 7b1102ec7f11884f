"""Check that a run is the one that a scaling experiment made for a size, and not another that has its name."""

from lab.core.errors import DamagedFileError
from lab.runs.run_folder import Run
from lab.scaling.scaling_plan import ScalingPlan


def difference(run: Run, plan: ScalingPlan, at: int) -> str:
    """The reason in words why the run is not that of the size `at`, from 0; "" if it is.

    An experiment makes its runs under their names, which no run had before, with the settings of the plan.

    Raises:
        UserError: if it is no run any more.
    """
    try:
        config = run.config
    except DamagedFileError:
        return "its config.json cannot be read"
    size, model, train = plan.sizes[at], config.model, config.train
    if (model.layers, model.heads, model.width, model.context) != (size.layers, size.heads, size.width, plan.context):
        return "its model has another shape"
    if config.data.source != plan.text:
        return "it was made of another text"
    if config.name != run.name:
        return f"it was made as {config.name}"
    if (train.minutes, train.batch) != (plan.minutes, plan.batch) or config.start or config.tuning or config.imported:
        return "it was trained otherwise"
    return ""
