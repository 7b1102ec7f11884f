"""The place of a state in words: the mode, the run and what is in view."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from lab.core.visible_text import shortened, visible
from lab.inspect.stages.stage_registry import IN_LAYERS, OF_ANY_LAYER, STAGES
from lab.lessons.lesson import claim_titles, lessons_and_problems
from lab.training.one_step.step_stages import STAGES as STEP_STAGES
from lab.views.screen_state import ScreenState

LONGEST_TEXT = 48

ASIDES = {
    "attribution": "direct logit attribution",
    "evidence": "evidence in the training text",
    "effect": "effect of the interventions",
    "compare": "two prompts compared",
    "patches": "every patch from a second prompt",
    "built_head": "a head built by hand",
    "code": "source code",
}
TRAIN_PAGES = {
    "new": "a new run",
    "words": "loss",
    "curves": "learning rate and gradient norm",
    "machine": "machine usage",
    "heads": "head scores",
    "probe": "next token",
    "updates": "update sizes",
    "one step": "one step",
}


def describe_place(state: ScreenState) -> str:
    """The mode, then from the whole to the part; layers, heads, positions and steps of a lesson are counted from 1."""
    of_mode = {"inspect": _inspect, "train": _train, "data": _data, "tokens": _tokens, "learn": _learn}.get(state.mode, _run)
    return " · ".join([state.mode.title(), *filter(None, of_mode(state))])


def _inspect(state: ScreenState) -> Iterator[str]:
    yield _name(state.run)
    if state.checkpoint not in ("", "best"):
        yield f"step {state.checkpoint}" if state.checkpoint.isdecimal() else f"{_name(state.checkpoint)} checkpoint"
    in_layer = state.stage in (*IN_LAYERS, *OF_ANY_LAYER)
    stage = STAGES.get(state.stage)
    yield ASIDES.get(state.aside, stage.title if stage else "")
    if not state.aside:
        yield f"layer {state.layer + 1}" if in_layer and state.layer is not None else ""
        yield f"head {state.head + 1}" if stage and stage.of_head and state.head is not None else ""
    if state.explained:
        yield f"explained: {_name(state.explained)}"
    yield f"token {state.position + 1}" if state.position is not None else ""
    if state.interventions:
        yield f"{state.interventions} intervention{'s' if state.interventions > 1 else ''}"
    yield _quoted(state.prompt)


def _train(state: ScreenState) -> Iterator[str]:
    yield _name(state.run)
    if state.page == "compare":
        yield "compared with " + ", ".join(map(_name, state.others))
    yield TRAIN_PAGES.get(state.page, "")
    if state.page == "one step":
        yield STEP_STAGES.get(state.stage, "")
        yield _quoted(state.prompt)
    elif state.layer is not None and state.head is not None:
        yield f"head {state.layer + 1}.{state.head + 1}"
    yield f"evaluation of step {state.step:,}" if state.step is not None else ""


def _data(state: ScreenState) -> Iterator[str]:
    yield _name(Path(state.text).name if state.text else "")
    yield _name(state.page)


def _tokens(state: ScreenState) -> Iterator[str]:
    yield _name(state.page)
    yield {"run": f"tokenizer of {_name(state.run)}", "gpt2": "GPT-2", "bytes": "bytes"}.get(state.tokenizer, "")
    yield f"token {state.position + 1}" if state.position is not None else ""
    yield _quoted(state.prompt)


def _learn(state: ScreenState) -> Iterator[str]:
    yield (
        f"lesson {_title(state.lesson, _lesson_titles())}"
        if state.lesson
        else f"claim {_title(state.claim, _titles_of_claims())}"
        if state.claim
        else _name(state.page)
    )
    yield f"step {state.step + 1}" if state.lesson and state.step is not None else ""
    yield _name(state.run)


def _title(name: str, titles: Mapping[str, str]) -> str:
    """The title of a lesson or a claim in quotation marks; of one that there is no more, its name."""
    title = titles.get(name, "")
    return f"“{visible(title)}”" if title else _name(name)


_titles_of_claims = cache(claim_titles)


@cache
def _lesson_titles() -> dict[str, str]:
    return {lesson.name: lesson.title for lesson in lessons_and_problems()[0]}


def _run(state: ScreenState) -> Iterator[str]:
    yield _name(state.run)


def _name(text: str) -> str:
    return visible(shortened(text, LONGEST_TEXT))


def _quoted(text: str) -> str:
    return f"“{visible(text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + '…')}”" if text else ""
