"""Import a model in a process of its own: downloading and reading weights would take a screen's time, and needs torch."""

import os
import signal
import threading
import time
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]

from lab.core.errors import UserError
from lab.core.reply_process import Progress, Reply, Tell, answer, ask_process, tell
from lab.exchange.hugging_face.hub_models import HUB_MODELS, HubModel, cache_entry, hub_name
from lab.exchange.hugging_face.import_run import import_run

SECONDS_BETWEEN_LOOKS = 0.2
"""Interval of looking how much of a download has arrived."""
LOOKS_FOR_PARTS, SECONDS_BETWEEN_PARTS = 4, 0.05
"""Times that partial files of a cancelled download are looked for: one of its threads may be about to make another."""
PARTIAL = ".incomplete"
"""Suffix of huggingface_hub's files while they are downloaded."""


class ImportRequest(msgspec.Struct, frozen=True):
    """A model, by its name or folder, and the home that its run is for."""

    source: str
    home: str


class ImportReply(Reply, frozen=True, omit_defaults=True):
    """Progress in bytes of a download; at the end the run's name."""

    run: str = ""


async def run_import_process(request: ImportRequest, progress: Progress, on_words: Tell) -> str:
    """The name of the run that a process makes of the model. Cancelling the awaiting task ends it, and leaves nothing.

    Raises:
        UserError: as `import_run`.
    """
    return (await ask_process(__name__, request, ImportReply, progress, on_words, work="import")).run


def _work(request: ImportRequest, progress: Progress) -> ImportReply:
    signal.signal(signal.SIGTERM, _end)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    arrived = _Arriving(request.source, progress)

    def on_words(words: str) -> None:
        arrived.watch(words.startswith("Downloading"))
        tell(words)

    try:
        return ImportReply(run=import_run(request.source, Path(request.home), tell=on_words).name)
    except (MemoryError, RuntimeError) as error:
        from lab.core.errors import is_out_of_memory

        if is_out_of_memory(error):
            raise UserError("Memory ran out, and nothing was imported.") from error
        raise


class _Arriving:
    """Reports how many bytes of a download have arrived, by the sizes of its files."""

    def __init__(self, source: str, progress: Progress) -> None:
        self._name, self._progress = hub_name(source), progress
        self._over = threading.Event()

    def watch(self, is_downloading: bool) -> None:
        """Begin as the download does, and end with the next step."""
        self._over.set()
        if is_downloading and self._name is not None:
            self._over = threading.Event()
            threading.Thread(target=self._look, args=(self._over, HUB_MODELS[self._name]), daemon=True).start()

    def _look(self, over: threading.Event, model: HubModel) -> None:
        blobs = cache_entry(model.repositories[0]) / "blobs"
        before = _size_of(blobs)
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            self._progress(min(_size_of(blobs) - before, model.download_bytes), model.download_bytes)


def _size_of(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except FileNotFoundError:
        return 0  # not begun, or a file got its final name meanwhile: the next look sees it


def _end(number: int, frame: object) -> None:
    """End on a signal. A download is given up with its threads and its partial files, which no later download would use."""
    gives_up = False
    for _ in range(LOOKS_FOR_PARTS):
        partial = [each.path for each in psutil.Process().open_files() if each.path.endswith(PARTIAL)]
        for path in partial:
            Path(path).unlink(missing_ok=True)
        gives_up = gives_up or bool(partial)
        time.sleep(SECONDS_BETWEEN_PARTS)
    if gives_up:
        os._exit(128 + number)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    answer(ImportRequest, _work)
