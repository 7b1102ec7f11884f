"""The number of tokens in a text of a known size, from the bytes per token of GPT-2's tokenizer on the run's own text."""

from lab.core.number_format import bytes_, count, fixed, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.experiments.tokens import gpt2_tokenizer as gpt2
from lab.views.blocks import Cell, Column, Table, View
from models.tokenizers.tokenizer_kinds import TokenizerError

WEBTEXT_BYTES = 40e9
"""Size of WebText, GPT-2's training text: "a total of 40 GB of text" (Radford et al. 2019, section 2.1)."""
SAMPLE = 100_000
"""Tokens of the run's text that are counted."""


def training_tokens(context: ExperimentContext) -> ExperimentResult:
    """Measures `bytes_per_token` of GPT-2's tokenizer on the run's text, and `tokens`: the input `bytes` divided by it.

    Raises:
        UserError: if the run's text cannot be read, or `bytes` is no number.
    """
    size = context.number("bytes", WEBTEXT_BYTES, 1, 1e15)
    text = context.sample_text(SAMPLE)
    data = text.encode()
    measures: dict[str, Measure] = {"bytes": size, "sample_bytes": len(data)}
    rows = []
    missing = ""
    for prefix, name in (("", "GPT-2"), ("own_", context.run_name)):
        try:
            tokenizer = context.tokenizer if prefix else gpt2.gpt2_tokenizer()
        except TokenizerError as error:
            missing = str(error).rstrip(".") + "."
            continue
        found = len(tokenizer.encode(text))
        each = len(data) / found
        measures |= {f"{prefix}bytes_per_token": each, f"{prefix}tokens": size / each, f"{prefix}sample_tokens": found}
        rows.append((name, found, each))
    largest = max(size / each for _, _, each in rows)
    table = Table(
        [Column("tokenizer", "left"), Column("tokens of the sample"), Column("bytes/token"), Column(f"tokens in {bytes_(size)}")],
        [
            [
                Cell(name),
                Cell(whole(found), value=float(found)),
                Cell(fixed(each, 2), value=each),
                Cell(count(size / each), value=size / each, bar=size / each / largest),
            ]
            for name, found, each in rows
        ],
        title=f"{bytes_(len(data))} of the text of {context.run_name}",
    )
    name, _, each = rows[0]
    sentence = (
        f"At {fixed(each, 2)} bytes per token of {name}'s tokenizer, {bytes_(size)} of text are {count(size / each)} tokens."
    )
    return ExperimentResult(View("training_tokens", "tokens of a training text", sentence, [table]), measures, missing)
