"""Screen state: which mode, page, run and place of the model somebody looks at, so that the same can be shown again."""

import msgspec


class ScreenState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mode, and in it what is looked at; a field that is empty or None is left as it is there."""

    mode: str
    page: str = ""
    """Name of the page of the mode."""
    text: str = ""
    """The chosen text: its source."""
    encoding: str = ""
    run: str = ""
    """A run's name or path."""
    checkpoint: str = ""
    """"best", "last" or the step of a snapshot."""
    prompt: str = ""
    ids: tuple[int, ...] | None = None
    """Token ids of the prompt; they override `prompt`."""
    stage: str = ""
    """A stage of the forward pass."""
    layer: int | None = None
    """0-based."""
    head: int | None = None
    """0-based."""
    position: int | None = None
    """0-based within the window."""
    lesson: str = ""
    """Name of a lesson."""
    step: int | None = None
    """0-based step of the lesson."""
    claim: str = ""
    """Name of a claim of the notes that are checked."""
