"""Files of a post-training: its folder, its lock, the names of the runs that it makes, and what it refuses. No torch.

<home>/.posttraining/<base>/ holds progress.jsonl, lock and process.log; beside them earlier.jsonl and models/ until a new result
has taken the place of an earlier one. All of it may be deleted while nothing runs.
"""

from pathlib import Path

from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import refuse_link, run_folder_mode
from lab.runs.find_runs import is_run, open_run
from lab.runs.home_folder import check_name
from lab.runs.run_folder import Run
from lab.runs.run_locks import trainer_lock_is_held
from lab.training.posttraining.posttraining_schema import MODELS, Model

FOLDER = ".posttraining"


class WorkFolder:
    """The files of the post-training of one base run in a home."""

    def __init__(self, base: str, home: Path) -> None:
        self.base, self.home = base, home
        self.path = home / FOLDER / base
        self.progress_path = self.path / "progress.jsonl"
        self.earlier_path = self.path / "earlier.jsonl"
        """The course of the post-training whose models stand, where progress.jsonl is that of a later one."""
        self.aside_path = self.path / "models"
        """The models of the later one, until they take the places of those."""
        self.lock_path = self.path / "lock"
        self.log_path = self.path / "process.log"

    def make(self) -> None:
        """Make the folder.

        Raises:
            UserError: if a link has its name.
            OSError: as the system says.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.path.parent, self.path):
            refuse_link(folder)
            folder.mkdir(run_folder_mode(self.home), exist_ok=True)

    def is_running(self) -> bool:
        """True while a process works on it: it holds the lock."""
        return trainer_lock_is_held(self.lock_path)


def tuned_name(base: str, model: Model) -> str:
    """Name of the run that a model becomes: `demo-sft`, `demo-rl`, `demo-rl-free`."""
    return f"{base}-{model}"


def check_base(base: Run, home: Path) -> None:
    """Check that the run can be post-trained, and that the runs made from it may be written.

    Raises:
        UserError: if it was not trained on the stories, or was post-trained itself; if a run has a name that is needed.
    """
    tuning, data = base.config.tuning, base.config.data
    if tuning is not None:
        raise UserError(f"{base.name} is fine-tuned already; post-train its base {tuning.base}.")
    stories = "and the questions are about the built-in text stories; choose demo, or a run trained with `llmlab train stories`."
    if base.config.imported is not None:
        raise UserError(f"{base.name} was imported, {stories}")
    if data.name != "stories" or not data.source.startswith("stories"):
        raise UserError(f"{base.name} was trained on {data.name}, {stories}")
    for model in MODELS[1:]:
        check_replaceable(base.name, check_name(tuned_name(base.name, model)), home)


def earlier_runs(base: str, home: Path) -> list[Run]:
    """The runs that an earlier post-training of the base made. Raises UserError as `check_replaceable`."""
    found = [check_replaceable(base, tuned_name(base, model), home) for model in MODELS[1:]]
    return [run for run in found if run is not None]


def suitable_base(name: str, home: Path) -> tuple[Run, str]:
    """The run to post-train where `name` is the run at hand: itself, its base if it was post-trained, or else `demo`.

    Beside it the reason in words why it is not the run itself; "" where it is.

    Raises:
        UserError: if not even demo can be post-trained.
    """
    reason = ""
    try:
        run = open_run(name, home)
        if run.config.tuning is not None:
            reason = f"{run.name} is fine-tuned already, so this is about its base {run.config.tuning.base}."
            run = open_run(run.config.tuning.base, home)
        check_base(run, home)
    except UserError as error:
        if name == "demo":
            raise
        run, reason = open_run("demo", home), f"This is about demo. {error}"
        check_base(run, home)
    return run, reason


def check_replaceable(base: str, name: str, home: Path) -> Run | None:
    """The run of this name that an earlier post-training of the base made, which may be replaced; None where there is none.

    Raises:
        UserError: if something else has the name.
    """
    path = home / name
    if not path.exists():
        return None
    if is_run(path):
        run = Run(path)
        try:
            tuning = run.config.tuning
        except DamagedFileError:
            tuning = None
        if tuning is not None and tuning.base == base:
            return run
    raise UserError(f"There is something called {name} in {home} that post-training did not make; rename or delete it first.")
