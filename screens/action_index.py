"""Index of the actions of all modes, by the classes of their screens, and the words that people type for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

from textual.binding import Binding
from textual.screen import Screen

from screens.widgets.mode_bar import MODES

OVER_TRAIN = (("screens.train.one_step.one_step_screen", "OneStepScreen", "one_step"),)
"""Module, class and opening action of each screen that opens from Train and belongs to its mode."""


@dataclass(frozen=True)
class Action:
    """An action of a mode, as its screen's bindings have it."""

    mode: str
    screen: str
    """Name of the screen's class."""
    opener: str
    """The mode's action that opens the screen; "" for the mode's own screen."""
    binding: Binding

    @property
    def id(self) -> str:
        return self.binding.id or ""

    @property
    def words(self) -> str:
        return self.binding.tooltip or self.binding.description


@cache
def all_actions() -> tuple[Action, ...]:
    """The actions of all modes, mode by mode. Imports their screens."""
    screens = [(mode, f"screens.{mode}.{mode}_screen", f"{mode.title()}Screen", "") for mode in MODES]
    screens += [("train", *over) for over in OVER_TRAIN]
    return tuple(action for mode, module, name, opener in screens for action in _actions_of(mode, module, name, opener))


def _actions_of(mode: str, module: str, name: str, opener: str) -> list[Action]:
    screen = cast(type[Screen[None]], getattr(import_module(module), name))
    merged = screen._merged_bindings
    bindings = [binding for found in merged.key_to_bindings.values() for binding in found] if merged is not None else []
    own = {
        binding.id: binding for binding in bindings if binding.id and not binding.id.startswith("screen.") and not binding.system
    }
    return [Action(mode, name, opener, binding) for binding in own.values()]


SYNONYMS = {
    "app.redraw": "refresh repaint clear terminal garbage",
    "app.theme": "colours colors dark light palette appearance",
    "app.help": "keys shortcuts manual",
    "app.quit": "exit leave close",
    "data.clean": "rules boilerplate duplicates unicode normalization ftfy emails gutenberg funnel filter",
    "data.look": "statistics characters words lines encoding repeats sample",
    "data.split": "validation train window sequence target documents chinchilla parameters",
    "data.type": "open file path load folder glob pattern",
    "data.use": "choose pick corpus dataset",
    "home.clone": "copy duplicate repeat again settings",
    "home.compare": "difference side by side runs",
    "home.delete": "remove erase disk",
    "home.new": "create start train",
    "home.rename": "name title",
    "inspect.all_heads": "attention patterns thumbnails gallery overview",
    "inspect.all_on": "restore reset interventions ablation",
    "inspect.attribution": "dla contribution logits why explain",
    "inspect.auto": "write continue text completion",
    "inspect.checkpoint": "weights best last",
    "inspect.compare": "prompts difference contrast side",
    "inspect.edit": "text input type",
    "inspect.effect": "before after kl ablation change ranking",
    "inspect.evidence": "corpus counts n-gram memorized copied where learned",
    "inspect.explain": "formula calculate why",
    "inspect.layer": "block",
    "inspect.lens_grid": "logitlens predictions grid heatmap",
    "inspect.look_at": "force attention pattern",
    "inspect.mean": "ablation zero",
    "inspect.patch": "causal tracing copy vector",
    "inspect.restart": "stuck hang kill",
    "inspect.run": "model open",
    "inspect.sample": "generate next token predict draw",
    "inspect.scale": "multiply amplify negate factor",
    "inspect.settings": "temperature top-k top-p nucleus seed greedy randomness sampling",
    "inspect.shading": "attention strip colour",
    "inspect.switch": "ablate ablation off disable knock out switch hide mask",
    "inspect.take_out": "save copy clipboard csv npz json svg png picture download",
    "inspect.time": "history snapshots checkpoints steps slider travel",
    "inspect.tour": "play animation walk through demo forward pass",
    "inspect.undo": "back revert",
    "step.edit": "prompt text",
    "step.take": "update gradient backward apply",
    "step.weight": "adamw adam muon momentum",
    "tokens.edit": "text input type",
    "tokens.tokenizer": "bpe bytes gpt2 vocabulary",
    "train.axis": "x tokens epochs time",
    "train.baselines": "loss floor entropy uniform unigram bigram",
    "train.bits": "loss unit bpb",
    "train.compare": "difference runs",
    "train.cursor": "loss value number",
    "train.export": "save report html png svg share",
    "train.heads": "attention induction previous-token insights",
    "train.inspect": "model look inside",
    "train.log": "loss scale linear logarithmic",
    "train.new": "create start settings hyperparameters",
    "train.panels": "learning rate lr gradient norm speed gpu cpu memory",
    "train.pause": "halt hold",
    "train.probe": "token place bar race text",
    "train.smoothing": "loss average noise",
    "train.start": "begin train run",
    "train.step": "gradient backward one update loss",
    "train.stop": "end finish abort",
    "train.updates": "ratio gradient weights layers",
    "train.why": "verdict diagnosis overfitting loss",
    "train.zoom": "loss curve plot latest",
}
"""Words, besides those of its description, that lead to the binding of this id."""

BY_SYNONYM, BY_WORD, BY_LETTERS = 0.9, 0.8, 0.5
"""Scores of a command found by the beginnings of its synonyms, of words of its description, or by single letters at most."""


def score_of(query: str, words: str, synonyms: str, by_letters: float) -> float:
    """Score of a command for what is typed, 0 where it does not answer; `by_letters` is that of a fuzzy search in its words."""
    terms = query.casefold().split()
    if not terms:
        return 0.0
    own, others = _words(words), _words(synonyms)
    if all(_begins(term, own) for term in terms):
        return BY_WORD + 0.2 * sum(term in own for term in terms) / len(terms)
    if all(_begins(term, others + own) for term in terms):
        return BY_SYNONYM
    return BY_LETTERS * by_letters / (1 + by_letters)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w\-]+", text.casefold())


def _begins(term: str, words: Sequence[str]) -> bool:
    return any(word.startswith(term) for word in words)
