"""Statistics of a text as tables with bars, for a screen or a shell, and as facts in words."""

from collections.abc import Sequence
from itertools import count

from lab.core.number_format import bytes_, counted, fixed, probability, whole
from lab.core.visible_text import visible
from lab.data.statistics.character_classes import character_label, character_name
from lab.data.statistics.repeated_passages import WINDOW
from lab.data.statistics.stream_statistics import LONGEST_COUNTED, LineLengths, TextStatistics
from lab.data.statistics.text_blocks import LineEndCounts
from lab.data.statistics.text_profile import TextProfile
from lab.views.blocks import Cell, Column, Table

MOST_BINS = 12
TAIL = 0.02
"""Share of the lines that may be longer than the last bin of their own."""
EXCERPT_SHOWN = 120
LONGEST_NAME = 30
"""Characters of a character's name in a table."""
MOST_FILES_SHOWN = 40


def profile_facts(profile: TextProfile) -> list[tuple[str, str]]:
    found = profile.statistics
    per_character = f", {fixed(found.bytes / found.characters, 2)} bytes each" if found.characters != found.bytes else ""
    facts = [
        ("size", f"{counted(found.bytes, 'byte')} as UTF-8 ({bytes_(found.bytes)})"),
        ("characters", f"{whole(found.characters)}, {whole(found.distinct_characters)} different{per_character}"),
        ("lines", f"{whole(found.lines)}, {whole(found.empty_lines)} empty"),
        ("words", whole(found.words)),
        ("vocabulary", distinct_words(found)),
        ("encoding", f"{profile.encoding}: {profile.decision}"),
        ("line ends", describe_line_endings(found.endings)),
    ]
    if len(profile.files) > 1 or profile.left_out:
        facts.append(("files", whole(len(profile.files)) + (f"; left out: {profile.left_out}" if profile.left_out else "")))
    if profile.entropy_bits_per_byte is not None:
        facts.append(("entropy", f"{fixed(profile.entropy_bits_per_byte, 3)} bits per byte, the lower bound"))
    return facts


def distinct_words(found: TextStatistics) -> str:
    if not found.letter_words:
        return "no words of letters in a script with spaces"
    if found.word_error:
        return f"more than {whole(found.distinct_words)} different words"
    return f"{whole(found.distinct_words)} different words, {whole(found.words_once)} of them once"


def describe_line_endings(endings: LineEndCounts) -> str:
    counts = [(name, number) for name, number in (("\\n", endings.lf), ("\\r\\n", endings.crlf), ("\\r", endings.cr)) if number]
    if not counts:
        return "none: one line"
    if len(counts) == 1:
        return f"{counts[0][0]} at all {whole(counts[0][1])} ends"
    return "mixed: " + ", ".join(f"{whole(number)} {name}" for name, number in counts)


def describe_repeats(found: TextStatistics) -> str:
    """Shares of the text that stood before: lines, and passages once all has been read."""
    least = "at least " if found.line_error else ""
    share = _share(found.repeated_lines, found.lines - found.empty_lines)
    lines = f"{least}{share} of the lines with text repeat an earlier line"
    if found.repeats is None:
        return lines
    share = _share(found.repeats.characters, found.repeats.length)
    if found.repeats.spacing > 1:
        share = f"about {probability(found.repeats.share)} (±{probability(found.repeats.error)}; at least {share})"
    return f"{share} of the text repeats earlier text, in passages of {WINDOW} characters or more; {lines}"


def scripts_table(found: TextStatistics, most: int = 12) -> Table:
    """Characters by class: letters by script, digits, punctuation ..."""
    return _bars("characters by kind", ("kind", "count", "share"), found.classes, found.characters, most)


def languages_table(found: TextStatistics, most: int = 10) -> Table:
    """Letters by language, told section by section."""
    title = "languages" + (f" (in one of {found.language_spacing} sections)" if found.language_spacing > 1 else "")
    letters = sum(letters for _, letters in found.languages)
    return _bars(title, ("language", "letters", "share"), found.languages, letters, most)


def words_table(found: TextStatistics, most: int = 20) -> Table:
    pairs = [(visible(word), number) for word, number in found.common_words]
    title = "most common words" + (f" (counts may be {whole(found.word_error)} too low)" if found.word_error else "")
    return _bars(title, ("word", "count", "share"), pairs[:most], found.letter_words, most)


def characters_table(found: TextStatistics, most: int = 20, *, rare: bool = False) -> Table:
    characters = (found.rare_characters if rare else found.common_characters)[:most]
    title = "rarest characters" if rare else "most common characters"
    pairs = [(_named(character), number) for character, number in characters]
    return _bars(title, ("character", "count", "share"), pairs, found.characters, most)


def _named(character: str) -> str:
    """A character, with its name where it could be mistaken or cannot be seen."""
    plain = character.isascii() and character.isprintable() and character != " "
    return character if plain else shortened_end(f"{character_label(character)} {character_name(character)}", LONGEST_NAME)


def line_lengths_table(lengths: LineLengths) -> Table:
    bins = length_bins(lengths)
    total = sum(number for _, number in bins)
    return _bars("line lengths", ("characters", "count", "share"), bins, total, len(bins))


def length_bins(lengths: LineLengths) -> list[tuple[str, int]]:
    """Lines by length: empty ones, then ranges of one width, and all that are longer than the last of these."""
    counts = lengths.counts
    total = sum(counts) + lengths.longer
    if not total:
        return []
    covered, last = 0, len(counts) - 1
    for length, number in enumerate(counts):
        covered += number
        if covered >= (1 - TAIL) * total:
            last = length
            break
    width = _round_width(max(1, -(-last // (MOST_BINS - 2))))
    bins = [("empty", counts[0])]
    start = 1
    while start <= last:
        end = min(start + width - 1, LONGEST_COUNTED - 1)
        bins.append((f"{whole(start)}–{whole(end)}" if end > start else whole(start), sum(counts[start : end + 1])))
        start = end + 1
    rest = sum(counts[start:]) + lengths.longer
    if rest:
        bins.append((f"{whole(start)}–{whole(lengths.longest)}", rest))
    return bins


def lines_table(found: TextStatistics, most: int = 12, shown: int = EXCERPT_SHOWN) -> Table:
    """The most common lines with text, each cut to `shown` characters."""
    largest = max((number for _, number in found.common_lines), default=1)
    rows = [
        [Cell(whole(number), float(number), bar=number / largest), Cell(shortened_end(visible(line.strip()), shown))]
        for line, number in found.common_lines[:most]
    ]
    return Table([Column("copies"), Column("line", "left")], rows, title="most repeated lines")


def shortened_end(text: str, most: int) -> str:
    """The text, cut at its end where it is longer than `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def passages_table(found: TextStatistics, most: int = 8, shown: int = EXCERPT_SHOWN) -> Table:
    """The longest repeated passages, the beginning of each cut to `shown` characters."""
    largest = max((passage.length for passage in found.passages), default=1)
    rows = [
        [
            Cell(whole(passage.length), float(passage.length), bar=passage.length / largest),
            Cell(whole(passage.copies), float(passage.copies)),
            Cell(", ".join(probability(place) for place in passage.places[:2])),
            Cell(shortened_end(visible(passage.excerpt.strip("\n")), shown)),
        ]
        for passage in found.passages[:most]
    ]
    columns = [Column("characters"), Column("copies"), Column("at", optional=1), Column("begins", "left")]
    sampled = found.repeats is not None and found.repeats.spacing > 1
    return Table(columns, rows, title="longest repeated passages" + (" found in a sample" if sampled else ""))


def files_table(profile: TextProfile, most: int = MOST_FILES_SHOWN) -> Table:
    """The share of the text that each file has, the largest first."""
    pairs = sorted(((visible(file.name), file.bytes) for file in profile.files), key=lambda pair: -pair[1])
    return _bars("shares of the files", ("file", "bytes", "share"), pairs, profile.statistics.bytes, most)


def _bars(title: str, heads: tuple[str, str, str], pairs: Sequence[tuple[str, int]], total: int, most: int) -> Table:
    """A table of names and counts with bars; names beyond `most` are summed up in a last row."""
    shown, rest = list(pairs[:most]), pairs[most:]
    if rest:
        shown.append((f"{whole(len(rest))} others", sum(number for _, number in rest)))
    largest = max((number for _, number in shown), default=0) or 1
    rows = [
        [
            Cell(name),
            Cell(whole(number), float(number)),
            Cell(_share(number, total), number / total if total else 0.0, bar=number / largest),
        ]
        for name, number in shown
    ]
    return Table([Column(heads[0], "left"), Column(heads[1]), Column(heads[2])], rows, title=title)


def _share(part: int, total: int) -> str:
    return probability(part / total) if total else "0%"


def _round_width(least: int) -> int:
    """The smallest round number that is at least `least`."""
    return next(step * int(10**power) for power in count() for step in (1, 2, 5) if step * 10**power >= least)


def profile_as_json(profile: TextProfile) -> dict[str, object]:
    """All facts of a text as plain data, numbers unrounded."""
    found = profile.statistics
    repeats = found.repeats
    return {
        "name": profile.name,
        "source": profile.source,
        "encoding": profile.encoding,
        "encoding_decision": profile.decision,
        "left_out": profile.left_out,
        **_fields(found, "bytes", "characters", "lines", "empty_lines", "words"),
        "line_endings": _fields(found.endings, "lf", "crlf", "cr"),
        "character_classes": dict(found.classes),
        "languages": dict(found.languages),
        **_fields(found, "language_spacing", "distinct_characters"),
        "common_characters": _characters(found.common_characters),
        "rare_characters": _characters(found.rare_characters),
        **_fields(found, "letter_words", "distinct_words", "words_once"),
        "word_count_error": found.word_error,
        "common_words": [{"word": word, "count": number} for word, number in found.common_words],
        "rare_words": list(found.rare_words),
        "line_length": _fields(found.lengths, "longest", "median", "mean"),
        "line_lengths": [{"characters": name, "lines": number} for name, number in length_bins(found.lengths)],
        **_fields(found, "distinct_lines", "repeated_lines", "repeated_line_characters"),
        "line_count_error": found.line_error,
        "common_lines": [{"line": line, "count": number} for line, number in found.common_lines],
        "repeated_passages": repeats
        and {
            "least_characters": WINDOW,
            "characters": repeats.characters,
            "is_exact": repeats.spacing == 1,
            "share": repeats.share,
            "share_error": repeats.error,
            "density": repeats.density,
            "longest": [
                {"characters": each.length, **_fields(each, "copies", "places"), "begins": each.excerpt}
                for each in found.passages
            ],
        },
        "files": [file._asdict() for file in profile.files],
        "entropy_bits_per_byte": profile.entropy_bits_per_byte,
    }


def _fields(of: object, *names: str) -> dict[str, object]:
    return {name: getattr(of, name) for name in names}


def _characters(pairs: Sequence[tuple[str, int]]) -> list[dict[str, object]]:
    return [{"character": character, "name": character_name(character), "count": number} for character, number in pairs]
