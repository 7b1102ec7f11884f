"""A text and the ids that are said to be its tokens: the text encoded, the ids decoded, by GPT-2's tokenizer and the run's."""

from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.experiments.tokens import gpt2_tokenizer as gpt2
from lab.views.blocks import Block, Cell, Column, Table, View
from models.tokenizers.token_labels import NO_TOKEN, printable
from models.tokenizers.tokenizer_kinds import TokenizerError

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

TEXT, IDS = "The big dog ran", "91, 860, 287, 11579"
MOST = 64
"""Tokens or ids shown."""


def encode_and_decode(context: ExperimentContext) -> ExperimentResult:
    """Measures `same`: the text's ids are the given ones; `encoded` and `decoded` as text; `own_…` with the run's tokenizer.

    Raises:
        UserError: if the input `ids` is no list of whole numbers, or the input `text` is empty.
    """
    text, given = context.text("text", TEXT), _ids(context.text("ids", IDS))
    if not text:
        raise UserError("The text to encode is empty: type a word.")
    measures: dict[str, Measure] = {}
    blocks: list[Block] = []
    missing = ""
    for prefix, name in (("", "GPT-2"), ("own_", context.run_name)):
        try:
            tokenizer = context.tokenizer if prefix else gpt2.gpt2_tokenizer()
        except TokenizerError as error:
            missing = str(error).rstrip(".") + "."
            continue
        encoded = tokenizer.encode(text)
        measures |= {f"{prefix}same": encoded == given, f"{prefix}encoded": ", ".join(str(id_) for id_ in encoded)}
        measures |= {f"{prefix}decoded": decoded(tokenizer, given), f"{prefix}tokens": len(encoded)}
        blocks.append(_table(f"“{printable(text.encode())}” encoded by {name}", tokenizer, encoded))
        blocks.append(_table(f"the ids {', '.join(str(id_) for id_ in given[:MOST])} decoded by {name}", tokenizer, given))
    sentence = missing or _sentence(measures, text)
    return ExperimentResult(View("encode_and_decode", "text ↔ ids", sentence, blocks), measures, missing)


def decoded(tokenizer: "Tokenizer", ids: list[int]) -> str:
    """The tokens of ids as labels in quotation marks; an id that is not in the vocabulary is `(no token)`."""
    return ", ".join(f"“{_label(tokenizer, id_)}”" for id_ in ids)


def _label(tokenizer: "Tokenizer", id_: int) -> str:
    return tokenizer.label(id_) if id_ < tokenizer.vocab_size else NO_TOKEN


def _sentence(measures: dict[str, Measure], text: str) -> str:
    shown = printable(text.encode())
    if measures["same"]:
        return f"GPT-2's tokenizer gives “{shown}” exactly these ids."
    return f"GPT-2's tokenizer gives “{shown}” the ids {measures['encoded']}; the given ones decode to {measures['decoded']}."


def _table(title: str, tokenizer: "Tokenizer", ids: list[int]) -> Table:
    rows = [[Cell(str(id_)), Cell(_label(tokenizer, id_)), Cell(_origin(tokenizer, id_), style="dim")] for id_ in ids[:MOST]]
    return Table([Column("id"), Column("token", "left"), Column("", "left")], rows, title=title)


def _origin(tokenizer: "Tokenizer", id_: int) -> str:
    if id_ >= tokenizer.vocab_size:
        return f"ids are 0 to {tokenizer.vocab_size - 1}"
    rank = tokenizer.merge_rank(id_)
    if rank is not None:
        return f"merge {rank + 1:,}"
    return {"special": "special token", "byte": "single byte"}.get(tokenizer.kind_of(id_), "")


def _ids(text: str) -> list[int]:
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isascii() and part.isdecimal() and len(part) <= 9 for part in parts):
        raise UserError(f"The ids must be whole numbers with commas between them, such as {IDS}.")
    return [int(part) for part in parts]
