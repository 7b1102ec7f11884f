"""Index of the actions of all modes and of their pages, by their classes, and the words that people type for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

from textual.binding import Binding
from textual.widget import Widget

from screens.base_screen import LabScreen
from screens.widgets.mode_bar import MODES

OVER_TRAIN = (
    ("screens.train.one_step.one_step_screen", "OneStepScreen", "one_step"),
    ("screens.train.compare_screen", "CompareScreen", "compare"),
)
"""Module, class and opening action of each screen that opens from Train; its place in the palette is named by that action."""


SCROLLS = {"down", "up", "pagedown", "pageup", "home", "end"}
MOVES = SCROLLS | {"left", "right", "ctrl+f", "ctrl+b"}
"""Keys that move inside a part of a page, which is no action to look for unless the key bar shows it."""


@dataclass(frozen=True)
class Action:
    """An action of a mode, as its screen's bindings have it, or those of a page of the screen."""

    mode: str
    screen: str
    """Name of the screen's class."""
    opener: str
    """The mode's action that opens the screen; "" for the mode's own screen."""
    binding: Binding
    page: str = ""
    """Name of the page whose action it is; "" for the screen's own."""
    page_title: str = ""
    holder: str = ""
    """Name of the class of the page, or of its part, that has the binding."""

    @property
    def id(self) -> str:
        return self.binding.id or ""

    @property
    def words(self) -> str:
        return self.binding.tooltip or self.binding.description

    @property
    def synonyms(self) -> str:
        return f"{SYNONYMS.get(self.id, '')} {self.binding.description}"

    @property
    def place(self) -> str:
        """The mode and the page, or the screen over the mode."""
        inside = self.page_title if self.page else self.opener.replace("_", " ")
        return f"{self.mode.title()} · {inside}" if inside else self.mode.title()


@cache
def all_actions() -> tuple[Action, ...]:
    """The actions of all modes, mode by mode, those of their pages behind their own. Imports their screens."""
    screens = [(f"screens.{mode}.{mode}_screen", f"{mode.title()}Screen", "") for mode in MODES]
    return tuple(action for screen in (*screens, *OVER_TRAIN) for action in _actions_of(*screen))


def _actions_of(module: str, name: str, opener: str) -> Iterator[Action]:
    screen = cast(type[LabScreen], getattr(import_module(module), name))
    yield from own_actions(screen, opener)
    yield from page_actions(screen, opener)


def own_actions(screen: type[LabScreen], opener: str = "") -> Iterator[Action]:
    """The actions of a screen itself."""
    for bindings in _bindings_of(screen).values():
        yield Action("train" if opener else screen.MODE, screen.__name__, opener, bindings[-1])


def page_actions(screen: type[LabScreen], opener: str = "") -> Iterator[Action]:
    """The actions of a screen's pages, page by page, without those that only move the cursor or scroll."""
    for link, page in screen.page_classes():
        for holder in (page, *page.PARTS):
            for bindings in _bindings_of(holder).values():
                keys = {each.key for each in bindings if len(each.key) > 1}
                if not keys or not keys <= (SCROLLS if bindings[0].show else MOVES):
                    yield Action(screen.MODE, screen.__name__, opener, bindings[0], link.name, link.title, holder.__name__)


def _bindings_of(owner: type[Widget]) -> dict[str, list[Binding]]:
    """The bindings that we have given an id, one for each key of an action."""
    found: dict[str, list[Binding]] = {}
    for each in [] if owner._merged_bindings is None else owner._merged_bindings.key_to_bindings.values():
        for binding in each:
            if binding.id and not binding.id.startswith("screen.") and not binding.system:
                found.setdefault(binding.id, []).append(binding)
    return found


SYNONYMS = {
    "app.help": "keys shortcuts manual",
    "app.note": "write comment remark annotate remember bookmark markdown",
    "app.quit": "exit leave close",
    "app.redraw": "refresh repaint clear terminal garbage",
    "app.theme": "colours colors dark light brighter darker brightness contrast palette appearance",
    "bpe.back": "undo unmerge previous step back",
    "bpe.hundred": "merge hundred pairs learn bpe",
    "bpe.line": "regex pretokenize split words regular expression",
    "bpe.merge": "learn pair bpe most frequent",
    "bpe.merges": "list learned rules ranks curve",
    "bpe.play": "animate run watch training learn bpe pause",
    "bpe.restart": "reset start over zero bytes",
    "bpe.source": "text file corpus learn from",
    "bpe.ten": "merge ten pairs learn bpe",
    "bpe.words": "regex pretokenize split regular expression",
    "choose.filter": "find search names file filename",
    "choose.grammar": "stories entropy rules probabilities",
    "choose.larger": "size stories slider bigger megabytes",
    "choose.unmark": "deselect clear selection several files",
    "clean.all": "every rule default reset",
    "clean.cancel": "stop abort reading",
    "clean.measure": "funnel count numbers again",
    "clean.place": "excerpt example before after diff next",
    "clean.save": "export write cleaned text file download",
    "clean.switch": "rule toggle enable disable dedup duplicates ftfy boilerplate emails",
    "data.clean": "rules boilerplate duplicates dedup deduplication near-duplicates minhash unicode normalization nfc ftfy "
    "mojibake emails phone gutenberg funnel filter c4 fineweb gopher",
    "data.look": "statistics characters words lines encoding repeats duplicates scripts languages sample",
    "data.split": "validation train window sequence target documents chinchilla parameters end-of-text",
    "data.type": "open file path load folder glob pattern completion",
    "data.use": "choose pick corpus dataset",
    "flow.right": "next token merge tree id rank corpus frequency card",
    "home.clone": "copy duplicate repeat again settings",
    "home.compare": "difference side by side runs",
    "home.delete": "remove erase disk",
    "home.fine_tune": "finetune finetuning from pretrained weights continue train on start base",
    "home.import": "gpt-2 gpt2 distilgpt2 hugging face huggingface hub transformers pretrained weights download load open model",
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
    "inspect.guess": "predict prediction quiz test myself score",
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
    "look.cleaned": "raw original cleaned statistics",
    "look.sample": "random passage excerpt anywhere read",
    "notes.filter": "search words",
    "notes.open": "bookmark place state again",
    "split.ids": "numbers integers token ids",
    "split.model": "preset size parameters context",
    "split.next": "window input target shifted batch sequence",
    "split.tokenizer": "bpe bytes gpt2 vocabulary",
    "step.edit": "prompt text",
    "step.take": "update gradient backward apply",
    "step.weight": "adamw adam muon momentum",
    "strip.bytes": "hex hexadecimal utf-8 raw",
    "strip.ids": "numbers integers token ids",
    "strip.spaces": "whitespace newline visible blank",
    "strip.special": "endoftext eos special tokens",
    "text.clear": "delete empty erase reset text",
    "texts.above": "folder directory up parent",
    "texts.mark": "several files select multiple documents",
    "texts.take": "open file folder",
    "tokens.bpe": "merges learn train pairs byte-pair encoding",
    "tokens.edit": "text input type",
    "tokens.example": "emoji numbers indentation languages running code next",
    "tokens.load": "open file text read",
    "tokens.side": "compression compare tokenizers aligned difference gpt-2 bytes",
    "tokens.strip": "compression token colours type text encode tokenize",
    "tokens.tokenizer": "bpe bytes gpt2 vocabulary",
    "tokens.used": "corpus training text load",
    "tokens.vocabulary": "vocab browse search all tokens dictionary glitch",
    "train.base": "finetune fine-tune pretrained weights gpt-2 from random initial continue",
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
    "vocabulary.count": "frequency corpus recount again",
    "vocabulary.details": "token card merges numbers rank",
    "vocabulary.filter": "never used unused glitch candidates halves undertrained",
    "vocabulary.order": "sort frequency length id rank embedding common rare",
    "vocabulary.reverse": "sort descending order rarest",
    "vocabulary.search": "find token prefix",
    "vocabulary.zipf": "frequency rank plot law curve distribution",
}
"""Words, besides those of its description, that lead to the binding of this id."""

BY_SYNONYM, BY_WORD, BY_LETTERS = 0.9, 0.8, 0.5
"""Scores of a command found by the beginnings of its synonyms, of words of its description, or by single letters at most."""


FILLERS = {
    *("a", "an", "are", "can", "do", "does", "how", "i", "is", "it"),
    *("make", "me", "my", "of", "the", "to", "what", "where", "which"),
}
"""Words of a question that name nothing."""


def score_of(query: str, words: str, synonyms: str, by_letters: float) -> float:
    """Score of a command for what is typed, 0 where it does not answer; `by_letters` is that of a fuzzy search in its words."""
    terms = _words(query)
    terms = [term for term in terms if term not in FILLERS] or terms
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
