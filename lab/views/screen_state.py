"""Screen state: the mode, page, run and place in the model: those in view, for a note's heading, or those to be shown."""

from typing import Annotated

import msgspec

Words = Annotated[str, msgspec.Meta(max_length=1000)]
Text = Annotated[str, msgspec.Meta(max_length=1 << 20)]
Index = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class ScreenState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mode, and in it what is looked at; a field that is empty or None is left as it is there.

    A name in it may be of something that no longer exists.
    """

    mode: Words
    page: Words = ""
    """Name of the page of the mode."""
    text: Text = ""
    """A text: its source. In Data it is shown; with any other mode it is chosen."""
    encoding: Words = ""
    run: Words = ""
    """A run's name or path."""
    others: Annotated[tuple[Words, ...], msgspec.Meta(max_length=10)] = ()
    """Runs compared with it."""
    checkpoint: Words = ""
    """"best", "last" or the step of a snapshot."""
    prompt: Text = ""
    """The prompt; in Tokens the text in the box, in a training step the sentence."""
    tokenizer: Words = ""
    """Tokenizer of Tokens: gpt2, bytes, or run."""
    ids: Annotated[tuple[Index, ...], msgspec.Meta(max_length=1 << 16)] | None = None
    """Token ids of the prompt; they override `prompt`."""
    stage: Words = ""
    """A stage of the forward pass."""
    layer: Index | None = None
    """0-based."""
    head: Index | None = None
    """0-based."""
    position: Index | None = None
    """0-based within the window; None beside a prompt is the last."""
    interventions: Index = 0
    """Number of changes made in the model; none is made where a state is shown."""
    aside: Words = ""
    """View in the place of the stage."""
    explained: Words = ""
    """The number being explained."""
    lesson: Words = ""
    """Name of a lesson."""
    step: Index | None = None
    """0-based step of the lesson; in Train the step of the evaluation."""
    claim: Words = ""
    """Name of a claim of the notes that are checked."""
