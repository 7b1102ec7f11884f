"""Delete a scaling experiment whose runs other modes may have open, after a question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from screens.app_state import AppState
from screens.dialogs.confirm import ConfirmDialog
from screens.messages import RunsChanged

if TYPE_CHECKING:
    from lab.scaling.scaling_experiment import ScalingExperiment


def deletion_dialog(experiment: ScalingExperiment, names: Sequence[str]) -> ConfirmDialog:
    """The question whether to delete it with its runs, which have these names."""
    words = f"Its runs go with it: {', '.join(names)}." if names else "It has no runs yet."
    return ConfirmDialog(f"Delete the experiment {experiment.name}?", words, key="D", yes="delete", no="keep", by_enter=False)


async def delete_experiment(lab: AppState, experiment: ScalingExperiment, names: Sequence[str]) -> None:
    """Stop it, have this lab's own engines close its runs, which have these names, and delete it with them.

    Raises:
        UserError: if it does not stop, or one of its runs cannot be deleted now.
    """
    await asyncio.to_thread(experiment.stop)
    for name in names:
        for release in lab.release_run:
            await release(experiment.home / name)
    try:
        with lab.changing_runs():
            await asyncio.to_thread(experiment.delete)
            if lab.run_name in names:
                lab.run_name = next((run.name for run in lab.runs if run.name not in names), "demo")
    finally:
        lab.post_message(RunsChanged())
