"""Types of the fixtures that several folders of tests ask for: each is a function that the test calls."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from lab.data.token_file import TokenFile
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status

TinyRun = Callable[..., Run]
"""Makes a run of a tiny model on a short text, ready to train."""
EmptyRun = Callable[..., Run]
"""Makes a run's folder in which nothing was trained."""
TrainHere = Callable[..., Status]
"""Trains a run in this process."""
MakeTokens = Callable[[int], TokenFile]
"""Makes a token file of so many tokens."""
MakeFolder = Callable[..., Path]
"""Makes a folder of Hugging Face's format."""
Call = Callable[..., Any]
"""Calls a command in this process."""
Until = Callable[[Pilot[None], Callable[[], object]], Awaitable[None]]
"""Waits until a condition holds."""
Open = Callable[..., AbstractAsyncContextManager[Pilot[None]]]
"""Opens the app with what a test needs in it."""
