"""Post-training as a job: its models, which take the places of earlier ones all or none, and the base that it can have. No torch
until the work.

The models are made aside, in models/ in its folder, if there are earlier ones. They take the places of these once new.jsonl is
record.jsonl, which has their names: where a new.jsonl is there, what was made aside is dropped.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from lab.core.atomic_io import sync_folder
from lab.core.errors import DamagedFileError, UserError
from lab.runs.find_runs import is_run, open_run
from lab.runs.home_folder import check_name, free_names
from lab.runs.rename_delete import delete_runs, refuse_to_delete, replace_run
from lab.runs.run_folder import Run
from lab.training.job import Job, Write, history_of
from lab.training.posttraining.posttraining_record import (
    MODELS,
    Line,
    PosttrainingHistory,
    PosttrainRequest,
    PosttrainSettings,
    Saved,
    tuned_name,
)


class PosttrainingJob(Job):
    """The post-training of one base run in a home; its name is the run's."""

    FOLDER = ".posttraining"

    def __init__(self, name: str, home: Path) -> None:
        super().__init__(name, home)
        self.aside_path = self.path / "models"
        """The new models, until they take the places of earlier ones."""
        self._of_earlier_version = self.path / "progress.jsonl", self.path / "earlier.jsonl"
        """Names that records had: of the last post-training, and of the one whose models stand where that has not finished."""

    def seed(self, request: bytes) -> int:
        return _asked(request).settings.seed

    def prepare(self, request: bytes) -> None:
        check_base(open_run(Path(_asked(request).base)), self.home)
        self.settle()
        refuse_to_delete(self._earlier_runs())
        if not self.record_path.exists() and history_of(self.new_path, PosttrainingHistory).saved:
            os.replace(self.new_path, self.record_path)  # a first one that was stopped left models: they are what stands

    def work(self, request: bytes, write: Write, poll: Callable[[], None]) -> str:
        from lab.training.posttraining.post_train import PostTraining

        asked, where = _asked(request), self.aside_path if self._earlier_runs() else self.home

        def log(line: Line) -> None:
            if where == self.home or not isinstance(line, Saved):
                write(line)

        PostTraining(open_run(Path(asked.base)), where, asked.settings, log, poll).run()
        return "" if where == self.home else self._name_models(write)

    def _name_models(self, write: Write) -> str:
        """Write the names of the models made aside. Returns a sentence where an earlier one cannot be replaced now, else ""."""
        sync_folder(self.path)
        names, message = {model: tuned_name(self.name, model) for model in MODELS[1:]}, ""
        try:
            refuse_to_delete(self._earlier_runs())
        except UserError as error:
            names = {model: next(free_names(None, name, self.home)) for model, name in names.items()}
            message = f"{error} So the earlier models stay, and the new ones are called {', '.join(names.values())}."
        for model, name in names.items():
            write(Saved(model, name))
        return message

    def is_settled(self) -> bool:
        progress, earlier = self._of_earlier_version
        return not (self.aside_path.exists() or progress.exists() or (earlier.exists() and not self.record_path.exists()))

    def settle(self) -> None:
        """Give the models made aside their names if their record stands, else drop them.

        Raises:
            UserError: if one cannot have its name now.
        """
        self._rename_records_of_earlier_version()
        if not self.new_path.exists():
            for model, name in history_of(self.record_path, PosttrainingHistory).saved.items():
                made = self.aside_path / tuned_name(self.name, model)
                if made.exists():
                    check_replaceable(self.name, name, self.home)
                    replace_run(Run(self.home / name), made)
        shutil.rmtree(self.aside_path, ignore_errors=True)

    def _rename_records_of_earlier_version(self) -> None:
        progress, earlier = self._of_earlier_version
        if progress.exists():
            ended = history_of(progress, PosttrainingHistory).ended
            os.replace(progress, self.record_path if ended is not None and ended.is_finished else self.new_path)
        if earlier.exists() and not self.record_path.exists():
            os.replace(earlier, self.record_path)

    def _earlier_runs(self) -> list[Run]:
        """The runs that are to be replaced. Raises UserError as `check_replaceable`."""
        found = [check_replaceable(self.name, tuned_name(self.name, model), self.home) for model in MODELS[1:]]
        return [run for run in found if run is not None]

    def delete_result(self) -> None:
        """Delete the runs that it made. Raises UserError as `delete_runs`; then none is deleted."""
        saved = [
            name for path in (self.record_path, self.new_path) for name in history_of(path, PosttrainingHistory).saved.values()
        ]
        names = {*(tuned_name(self.name, model) for model in MODELS[1:]), *(name for name in saved if name == Path(name).name)}
        delete_runs([Run(self.home / name) for name in sorted(names) if _made(self.name, self.home / name)])


def _asked(request: bytes) -> PosttrainRequest:
    return msgspec.json.decode(request, type=PosttrainRequest)


def start_posttraining(base: Run, home: Path, settings: PosttrainSettings) -> PosttrainingJob:
    """Start the process, and wait until it has begun. The runs of an earlier post-training of this base are replaced.

    Raises:
        UserError: as `check_base` and `Job.start`, as where one of those runs cannot be replaced now.
    """
    check_base(base, home)
    job = PosttrainingJob(base.name, home)
    job.start(PosttrainRequest(str(base.path), settings))
    return job


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
    if not (home / name).exists():
        return None
    if _made(base, home / name):
        return Run(home / name)
    raise UserError(f"There is something called {name} in {home} that post-training did not make; rename or delete it first.")


def _made(base: str, path: Path) -> bool:
    """True for a run that post-training of the base made."""
    try:
        tuning = Run(path).config.tuning if is_run(path) else None
    except DamagedFileError:
        return False
    return tuning is not None and tuning.base == base
