"""`llmlab data`: facts of a text, what cleaning takes from it, and the cleaned text."""

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len

from lab.cli.completion import FILE, TEXT
from lab.cli.output import line_room, passing_bar, redraws, table, wrapped, write_json
from lab.core.errors import UserError
from lab.core.number_format import bytes_, probability, whole
from lab.core.visible_text import shortened, visible
from lab.data.cleaning.rule_registry import RULES, parse_rules
from lab.runs.run_schema import CleaningStep

if TYPE_CHECKING:
    from lab.data.cleaning.funnel_meter import Excerpt, Funnel
    from lab.data.corpus import Corpus
    from lab.data.statistics.text_profile import TextProfile

BAR_WIDTH = 24
"""Columns of a bar that stands for the whole raw text."""
SHOWN_EXCERPTS = 2
"""Excerpts shown of each rule."""
EXCERPT_CHARACTERS = 100
SIDES = (("−", "taken"), ("+", "added"))
PARTS = " ▏▎▍▌▋▊▉"


@click.command(short_help="Show what a text is, and clean it.")
@click.argument("texts", metavar="TEXT...", nargs=-1, type=TEXT)
@click.option(
    "--clean",
    metavar="RULE,…",
    default="",
    help="Cleaning rules beside line-endings; `all` is all of them, `only,RULE` leaves line-endings out, `list` explains them.",
)
@click.option("--save", type=FILE, help="Write the cleaned text to FILE, as UTF-8; several documents: files of a new folder.")
@click.option("--force", is_flag=True, help="Let --save replace a file that exists; never one that the text is read from.")
@click.option("--encoding", metavar="NAME", help="Encoding of the text; UTF-8 and UTF-16 are detected.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def data(texts: tuple[str, ...], clean: str, save: str | None, force: bool, encoding: str | None, as_json: bool) -> None:
    """Show what TEXT is, and the funnel: how much of it each cleaning rule takes, from raw to kept.

    TEXT is the path of a text file, a folder, a pattern in quotes, - for standard input, or a built-in text, `stories` or
    `python`. Nothing is changed on disk. `llmlab train TEXT --clean RULE,…` trains on the cleaned text.
    """
    if clean.strip() == "list":
        _list_rules(as_json)
        return
    if not texts:
        raise click.UsageError("Give a TEXT, or `--clean list` for the cleaning rules.")
    from lab.cli.commands.train_command import tell_of_waiting
    from lab.data.cleaning.measure_funnel import check_target, funnel_of, save_text
    from lab.data.statistics.copied_share import copied_in_corpus, describe_validation
    from lab.data.statistics.text_profile import profile_of
    from lab.data.text_source import joined_source, open_corpus
    from lab.data.train_val_split import TextChangedError, split_text

    source = joined_source(texts)
    rules = parse_rules(clean)
    raw = open_corpus(source, encoding, partial(tell_of_waiting, source), ())
    corpus = raw.with_cleaning(rules)
    corpus.read_once_if_costly(Path(tempfile.gettempdir()))
    if save is not None and not save.strip():
        raise click.UsageError("--save needs the path of a file.")
    if save:
        check_target(Path(save), corpus, replace=force)
    with passing_bar(sys.stderr, is_shown=redraws(sys.stderr)) as show:
        words = f"cleaning {corpus.name}"
        funnel = funnel_of(corpus, lambda done, total: show(words, done / max(total, 1)))

        def check(fraction: float) -> bool:
            show(f"counting what is in {corpus.name}", fraction)
            return False

        *_, profile = profile_of(raw, check, asked=encoding is not None)
        if profile.statistics.bytes != funnel.raw_bytes:
            raise TextChangedError(corpus.source)
        copied = None
        if not funnel.nothing_left:
            searching = f"looking for the validation part of {corpus.name} in its training part"
            split = split_text(corpus, lambda done, total: show(searching, done / max(total, 1)))
            copied = copied_in_corpus(corpus, split, lambda share: show(searching, share))
    saved = save_text(corpus, Path(save), replace=force) if save and not funnel.nothing_left else None
    if as_json:
        write_json({**_as_json(corpus, profile, funnel, save if saved else None), "validation": copied})
    else:
        click.echo(describe(profile, funnel, describe_validation(corpus.holdout, copied)))
        if save and saved:
            where = f"in the folder {visible(save)}, a file each" if corpus.opened_documents > 1 else f"as {visible(save)}"
            click.echo(f"\nSaved the cleaned text {where} ({bytes_(saved)}).")
    if funnel.nothing_left:
        raise UserError(funnel.nothing_left)


def _list_rules(as_json: bool) -> None:
    fields = ("name", "title", "explanation", "pipelines", "difference", "on_by_default")
    if as_json:
        write_json([{name: getattr(rule, name) for name in fields} for rule in RULES])
        return
    for rule in RULES:
        click.secho(f"{rule.name}{' (on by default)' if rule.on_by_default else ''}", bold=True)
        for sentence in filter(None, (rule.explanation, rule.pipelines, rule.difference and f"Here: {rule.difference}")):
            click.echo(click.wrap_text(sentence, 100, "  ", "  "))
    click.echo("\nThey are applied in this order, whatever the order in which they are named.")


def describe(profile: "TextProfile", funnel: "Funnel", validation: str = "") -> str:
    from lab.data.statistics.statistics_view import describe_repeats, profile_facts

    found = profile.statistics
    facts = [("text", profile.name), *profile_facts(profile), ("repeats", describe_repeats(found))]
    facts += [("validation", validation)] if validation else []
    sample = f" (in one of {found.language_spacing} sections)" if found.language_spacing > 1 else ""
    facts += [("scripts", _shares(found.classes))] if found.classes else []
    facts += [("languages", _shares(found.languages) + sample)] if found.languages else []
    if funnel.decoding:
        facts.append(("decoding", funnel.decoding))
    if funnel.documents > 1:
        facts.append(("documents", f"{whole(funnel.documents)}, of which {whole(funnel.kept_documents)} keep some text"))
    lines = [wrapped(f"{name:<11} {visible(value)}", 12) for name, value in facts]
    rows = [("raw", whole(funnel.raw_bytes), "", "")]
    shares_left = [1.0]
    for step in funnel.steps:
        taken = step.bytes_in - step.bytes_out
        shares_left.append(step.bytes_out / funnel.raw_bytes if funnel.raw_bytes else 0.0)
        rows.append((step.rule, whole(step.bytes_out), f"+{whole(-taken)}" if taken < 0 else whole(-taken), _effect(step)))
    kept = probability(funnel.kept_bytes / funnel.raw_bytes) if funnel.raw_bytes else "0%"
    rows.append(("kept", whole(funnel.kept_bytes), "", f"{kept} of the raw text"))
    lines += ["", _funnel_table(rows, shares_left, bytes_(funnel.raw_bytes))]
    for step in funnel.steps:
        for excerpt in funnel.excerpts.get(step.rule, ())[:SHOWN_EXCERPTS]:
            reason = f" ({excerpt.reason})" if excerpt.reason else ""
            taken_side, added_side = (wrapped(f"  {sign} {_side(excerpt, kind)}", 4) for sign, kind in SIDES)
            lines.append(f"\n{step.rule}{reason}\n{taken_side}\n{added_side}")
    return "\n".join([*lines, *map(wrapped, funnel.notes)])


def _funnel_table(rows: list[tuple[str, str, str, str]], shares: list[float], full: str) -> str:
    """The funnel, with bars as wide as the terminal has room for; the last of `rows` has none."""
    header = ("", "bytes", "taken", "changes")
    width, scale = BAR_WIDTH, f"scale: full = {full}"
    room = line_room()
    if room is not None:
        left = room - max(map(cell_len, table(header, rows).split("\n"))) - 2
        width, scale = min(width, left), scale if len(scale) <= left else f"full = {full}"
        if len(scale) > left:
            return table(header, rows, right=(1, 2))
    eighths = [round(share * width * 8) for share in shares]
    bars = [*("█" * (number // 8) + PARTS[number % 8].strip() for number in eighths), ""]
    return table((*header, scale), [(*row, bar) for row, bar in zip(rows, bars, strict=True)], right=(1, 2))


def _shares(pairs: Sequence[tuple[str, int]]) -> str:
    """The largest shares of a whole: `Latin 78.1%, spaces 16.9%`."""
    total = sum(number for _, number in pairs)
    return ", ".join(f"{name} {probability(number / total)}" for name, number in sorted(pairs, key=lambda pair: -pair[1])[:4])


def _effect(step: CleaningStep) -> str:
    emptied = (step.documents_emptied, "documents emptied")
    effects = ((step.passages_removed, "removed"), (step.passages_changed, "changed"), emptied)
    return ", ".join(f"{whole(number)} {what}" for number, what in effects if number)


def _side(excerpt: "Excerpt", kind: str) -> str:
    """One side of an excerpt on a line; what was taken or added stands in [brackets]."""
    at = next(at for at, span in enumerate(excerpt.spans) if span.kind != "kept")
    words = []
    for index, span in enumerate(excerpt.spans):
        text = span.text
        if span.kind not in ("kept", kind):
            continue
        if span.kind == "kept" and len(text) > EXCERPT_CHARACTERS // 3:
            text = f"…{text[-EXCERPT_CHARACTERS // 3 :]}" if index < at else f"{text[: EXCERPT_CHARACTERS // 3]}…"
        words.append(visible(text) if span.kind == "kept" else f"[{visible(shortened(text, EXCERPT_CHARACTERS))}]")
    return "".join(words)


def _as_json(corpus: "Corpus", profile: "TextProfile", funnel: "Funnel", saved: str | None) -> dict[str, Any]:
    from lab.data.statistics.statistics_view import profile_as_json

    size = corpus.measure()
    return {
        "text": profile_as_json(profile),
        "file_bytes": funnel.file_bytes,
        "decoding": funnel.decoding,
        "raw_bytes": funnel.raw_bytes,
        "kept_bytes": funnel.kept_bytes,
        "kept_characters": size.characters,
        "sha256": size.sha256,
        "documents": funnel.documents,
        "kept_documents": funnel.kept_documents,
        "files": [{"name": file.name, "bytes": file.bytes} for file in corpus.files],
        "cleaning": list(corpus.cleaning),
        "steps": list(funnel.steps),
        "reasons": funnel.reasons,
        "excerpts": {rule: list(map(_excerpt_as_json, found)) for rule, found in funnel.excerpts.items()},
        "notes": list(funnel.notes),
        "saved": saved,
    }


def _excerpt_as_json(excerpt: "Excerpt") -> dict[str, Any]:
    (before, taken), (after, added) = excerpt.side("taken"), excerpt.side("added")
    place = {"document": excerpt.document, "reason": excerpt.reason}
    return place | {"before": before, "taken": taken, "after": after, "added": added}
