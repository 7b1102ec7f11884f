"""Print the merges of BPE while they are learned from a text: `llmlab tokenize --learn`."""

import json
import sys
import time
from functools import partial

import click

from lab.cli.commands.train_command import waiting_for_writer
from lab.cli.visible_output import json_to_show, own_sequences, redraws
from lab.data.cleaning.rule_registry import parse_rules
from lab.tokenization.bpe.bpe_learner import BpeLearner, Merge
from lab.tokenization.bpe.learnable_text import LearnableText, read_training_part
from models.tokenizers.token_labels import printable

SECONDS_BETWEEN_REPORTS = 0.1
CLEAR_LINE = "\r\x1b[K"


def learn_merges(source: str, encoding: str | None, clean: str, merges: int, as_json: bool) -> None:
    """Learn up to `merges` merges from the training part of a text, and print each at once. `clean` names cleaning rules.

    Raises:
        UserError: if the text cannot be read, or there is no such rule.
    """
    text = _read(source, encoding, parse_rules(clean))
    learner = BpeLearner(text.words)
    if not as_json:
        click.echo(
            f"{text.name}: {_counted(learner.bytes, 'byte')}, {_counted(text.word_count, 'piece')} "
            f"(words, numbers, signs), {len(text.words):,} of them different\n"
            "tied: pairs that occur as often; the one with the lowest ids goes first\n"
        )
        numbers = f"{'merge':>6} {'count':>10} {'tied':>4} {'tokens left':>12}"
        click.echo(f"{numbers}  {'id':>6} = {'left':>6} + {'right':<6}  token = pair")
    while len(learner.merges) < merges and (merge := learner.merge()):
        click.echo(_json_line(merge, learner) if as_json else _line(merge, learner))
        sys.stdout.flush()
    if len(learner.merges) < merges and not as_json:
        click.echo("Every piece is one token: there is no pair left to merge.")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _line(merge: Merge, learner: BpeLearner) -> str:
    token, left, right = (f'"{printable(learner.vocabulary[id])}"' for id in (merge.id, merge.left, merge.right))
    numbers = f"{merge.number:>6,} {merge.count:>10,} {merge.tied if merge.tied > 1 else '':>4} {merge.tokens_left:>12,}"
    return f"{numbers}  {merge.id:>6} = {merge.left:>6} + {merge.right:<6}  {token} = {left} + {right}"


def _json_line(merge: Merge, learner: BpeLearner) -> str:
    line = json.dumps(
        {
            "merge": merge.number,
            "id": merge.id,
            "left": merge.left,
            "right": merge.right,
            "bytes": learner.vocabulary[merge.id].hex(),
            "label": printable(learner.vocabulary[merge.id]),
            "count": merge.count,
            "tied": merge.tied,
            "tokens_left": merge.tokens_left,
        },
        ensure_ascii=False,
    )
    return json_to_show(line)


def _read(source: str, encoding: str | None, cleaning: tuple[str, ...]) -> LearnableText:
    """The text; on a terminal, the share that has been read is shown meanwhile."""
    say_waiting = partial(click.echo, waiting_for_writer(source), err=True)
    if not redraws(sys.stderr):
        return read_training_part(source, encoding, on_wait=say_waiting, cleaning=cleaning)
    stream = own_sequences(sys.stderr)
    shown = time.monotonic()

    def report(share: float) -> None:
        nonlocal shown
        if time.monotonic() - shown >= SECONDS_BETWEEN_REPORTS:
            shown = time.monotonic()
            stream.write(f"{CLEAR_LINE}counting words {share:.0%}")
            stream.flush()

    try:
        return read_training_part(source, encoding, report, say_waiting, cleaning)
    finally:
        stream.write(CLEAR_LINE)
        stream.flush()
