"""Words of rank 0 under torchrun, where nothing else tells of the run: one line at the start and one at the end."""

import shlex

from lab.core.number_format import counted, fixed
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.training.distributed.rank_environment import RankEnvironment


def start_in_words(run: Run, status: Status, environment: RankEnvironment | None) -> str:
    """The run, its ranks and its steps: `big trains on 16 ranks (cuda), from step 0 of 100000; `llmlab` shows it.`"""
    count = environment.count if environment is not None else 1
    steps = f" of {run.config.train.steps}" if run.config.train.steps else ""
    return f"{run.name} trains on {counted(count, 'rank')} ({status.device}), from step {status.step}{steps}; `llmlab` shows it."


def end_in_words(run: Run, status: Status) -> str:
    """The end of a training that has not failed: its losses, or the step that is saved and how to go on."""
    message = f" {status.message}" if status.message else ""
    if status.phase == "finished":
        return f"{run.name} has finished its {status.step} steps{_losses(run, status)}.{message}"
    saved = any(file.name == "last" and file.step == status.step for file in run.checkpoints())
    how = f"stopped at step {status.step} and saved" if saved else "stopped"
    go_on = f"The same command goes on, or `llmlab resume {shlex.quote(run.name)}`."
    return f"{run.name} is {how}.{message} {go_on}"


def _losses(run: Run, status: Status) -> str:
    last, final = run.last_metric(), status.final
    figures = [
        ("loss", last.loss if last is not None else None),
        ("validation loss", final.val_loss if final is not None else None),
    ]
    words = [f"{name} {fixed(value)}" for name, value in figures if value is not None]
    return f": {', '.join(words)}" if words else ""
