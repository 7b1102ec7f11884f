"""The process of a scaling experiment whose trainers are forked from it: a `ModuleForker` calls it, so that it has torch."""

from lab.scaling import scaling_process
from lab.training import start_trainer
from tests.lab.training.module_forker import Forker


def main(arguments: list[str]) -> int:
    """Do as `scaling_process`."""
    start_trainer.DetachedProcess = Forker().detached_process  # type: ignore[assignment, misc]
    return scaling_process.main(arguments)
