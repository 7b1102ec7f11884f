"""The step that a run is saved at, read from its checkpoints."""

from lab.core.safetensors_file import is_whole, read_metadata, step_of
from lab.runs.run_folder import Run


def saved_step(run: Run) -> int | None:
    """The step that training would resume from; None where no checkpoint is whole."""
    for name in ("last", "previous"):
        path = run.path / f"{name}.safetensors"
        step = step_of(read_metadata(path))
        if step is not None and is_whole(path):
            return step
    return None


def stopped_in_words(run: Run, resume: str) -> tuple[str, bool]:
    """A sentence on a stopped run, and True if its step is saved. `resume` is the command that resumes it."""
    status, saved = run.status(), saved_step(run)
    message = f" {status.message}" if status.message else ""
    if saved == status.step:
        return f"{run.name} is stopped at step {saved} and saved.{message} `{resume}` resumes it.", True
    if saved is None:
        return f"{run.name} is stopped at step {status.step}, and no checkpoint of it is whole.{message}", False
    return (
        f"{run.name} is stopped at step {status.step}, which is not saved: its last whole checkpoint is of step {saved}."
        f"{message} `{resume}` resumes from there."
    ), False
