"""The cleaning rules, in the order in which they are applied, and documents through them. A new one is added here.

The order: first the characters, so that every later rule sees lines that end in "\\n" and letters that are whole; then frames
and lines of no use; then personal data, so that lines that differ in an address alone become equal; then duplicate lines, which
may part a menu; then paragraphs, as the rules for lines have left them; and blank lines last, since removed lines leave blank
ones behind. So no rule makes work for those before it: a text that is cleaned twice is as it was after once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from lab.core.errors import UserError
from lab.core.visible_text import quoted
from lab.data.cleaning.boilerplate_lines import BoilerplateLines
from lab.data.cleaning.characters import BlankLines, BrokenText, ControlCharacters, LineEndings, Nfc
from lab.data.cleaning.cleaner import Cleaner
from lab.data.cleaning.duplicates import DuplicateLines, DuplicateParagraphs, NearDuplicates
from lab.data.cleaning.funnel_meter import FunnelMeter
from lab.data.cleaning.gutenberg import Gutenberg
from lab.data.cleaning.line_filters import LongLines, ShortLines, SymbolLines
from lab.data.cleaning.personal_data import Emails, PhoneNumbers
from lab.data.text_chunks import DocumentPart, by_document
from lab.runs.run_schema import DEFAULT_RULES


@dataclass(frozen=True)
class CleaningRule:
    """A rule, named as on the command line and in a run's settings."""

    name: str
    cleaner: Callable[[], Cleaner]
    """Makes the rule's state for one reading of a corpus."""
    title: str
    explanation: str
    """Its effect here, in one or two sentences."""
    pipelines: str
    """The large pipelines that use it, and what exactly they do."""
    difference: str = ""
    """Where it differs from theirs because it works on the lines of one person's text, or empty."""

    @property
    def on_by_default(self) -> bool:
        return self.name in DEFAULT_RULES


RULES: tuple[CleaningRule, ...] = (
    CleaningRule(
        "line-endings",
        LineEndings,
        "line endings",
        r"Makes every line end in \n: \r\n, as on Windows, and a lone \r, as on old Macs, are changed.",
        r"Python's text mode does the same to every file that it opens, and so does nanoGPT's reading of a text.",
    ),
    CleaningRule(
        "broken-text",
        BrokenText,
        "broken text",
        "Repairs text that was decoded with the wrong encoding, such as â€™ for ’, with the library ftfy.",
        "FineWeb 2 runs ftfy over all its text; GPT-1 did over its books.",
        "Only the encoding is repaired; ftfy's other changes (HTML entities, quotes, ligatures, widths) are switched off.",
    ),
    CleaningRule(
        "control-characters",
        ControlCharacters,
        "control characters",
        "Removes characters that no reader sees: controls, terminal colours, overstruck letters, byte-order marks inside the "
        "text. A form feed between words becomes a line end. Tabs, joiners and marks of writing direction stay.",
        "CCNet removes all controls before it compares lines; ftfy, as FineWeb 2 runs it, removes them from the text.",
    ),
    CleaningRule(
        "nfc",
        Nfc,
        "Unicode normalization (NFC)",
        "Writes each character in one way: e followed by a combining accent becomes é.",
        "SlimPajama normalizes all its text to NFC.",
    ),
    CleaningRule(
        "gutenberg",
        Gutenberg,
        "Project Gutenberg frame",
        "Removes Project Gutenberg's header, up to its START line, and its END line with the licence.",
        "PG-19 removes the licence text from Project Gutenberg's books.",
        "A text without these marker lines and a header is left as it is, and so are notes and code that quote them; a file may "
        "hold several books.",
    ),
    CleaningRule(
        "boilerplate",
        BoilerplateLines,
        "boilerplate lines",
        "Removes lines that web pages carry beside their text: cookie and JavaScript notices, copyright lines, policy links, "
        "share and sign-up buttons, lorem ipsum.",
        "C4 removes each line that holds the word javascript, terms of use, privacy policy, cookie policy or use of cookies, "
        "and each page with lorem ipsum; FineWeb uses C4's rules.",
        "A sentence that only mentions such a word stays, and so do code with its comments and Markdown's headings.",
    ),
    CleaningRule(
        "long-lines",
        LongLines,
        "very long lines",
        "Removes lines with more than 1,000 characters in a row without a space, comma, semicolon or |, as in encoded data, and "
        "lines of more than 100,000 characters. Scripts written without spaces do not count as long words.",
        "C4 removes lines with a word of more than 1,000 characters.",
    ),
    CleaningRule(
        "symbol-lines",
        SymbolLines,
        "mostly-symbol lines",
        "Removes single lines of at least 10 characters that hold no word and in which fewer than a fifth are letters or digits. "
        "Drawings of several lines stay, and so do rulers, tables, emoji, formulas in brackets and code.",
        "Gopher drops a page where fewer than 80% of the words hold a letter; FineWeb 2 removes lines of nothing but |.",
        "Single lines are removed, never the page.",
    ),
    CleaningRule(
        "emails",
        Emails,
        "e-mail addresses",
        "Replaces each e-mail address by email@example.com, but for those at example.com, .org and .net, which are nobody's.",
        "FineWeb replaces them by email@example.com and firstname.lastname@example.org; Dolma masks them.",
    ),
    CleaningRule(
        "phone-numbers",
        PhoneNumbers,
        "phone-like numbers",
        "Replaces what looks like a phone number by 555-0100, a number kept free for fiction.",
        "Dolma masks numbers of the North American form.",
        "International numbers and those after a word such as phone count as well; dates, decimal numbers, ISBNs and other long "
        "numbers stay.",
    ),
    CleaningRule(
        "duplicate-lines",
        DuplicateLines,
        "duplicate lines",
        "Removes a line of whole sentences, with at least 50 characters, that has come before, in any of the documents.",
        "CCNet removes every repeated line, by the first 64 bits of its SHA-1; Gopher drops a page in which 30% of the lines "
        "repeat.",
        "Others may repeat: verse that runs on, labelled lines such as a speaker's or a log's, headings, tables, rulers, code.",
    ),
    CleaningRule(
        "short-lines",
        ShortLines,
        "menus of short lines",
        "Removes menus: runs of 4 to 100 lines of one or two words each, with a capital and no punctuation. At least three, and "
        "a third of them, must be usual entries such as Home, About us, Log in or Kontakt.",
        "C4 removes every line of fewer than 3 words; FineWeb drops a page where 67% of the lines have at most 30 characters.",
        "All other short lines stay: headings, speakers' names, verse, lists of names. So does code.",
    ),
    CleaningRule(
        "duplicate-paragraphs",
        DuplicateParagraphs,
        "duplicate paragraphs",
        "Removes a paragraph of prose of at least 100 characters that has come before, in any of the documents.",
        "Dolma removes repeated paragraphs with a Bloom filter; Gopher drops a page where 30% of the paragraphs repeat.",
        "Verse, lists, tables, forms, logs and code may repeat.",
    ),
    CleaningRule(
        "near-duplicates",
        NearDuplicates,
        "near-duplicate paragraphs",
        "Removes a paragraph of prose of at least 20 words that shares about three quarters of its runs of five words with an "
        "earlier one (MinHash, 14 bands of 8 hashes).",
        "FineWeb compares pages in this way, with runs of 5 words and 112 hashes in 14 bands; SlimPajama removes pages with a "
        "similarity of 0.8.",
        "It compares paragraphs, not pages; verse, lists, tables, forms, logs and code may resemble each other.",
    ),
    CleaningRule(
        "blank-lines",
        BlankLines,
        "runs of blank lines",
        "Leaves one blank line of each run of blank lines, and two after a line of code.",
        "C4 has no blank lines at all, since each kept line has at least 3 words; FineWeb drops a page with more than 0.3 "
        "newlines a word.",
    ),
)
"""In the order in which they are applied, whatever the order in which they are named."""

BY_NAME = {rule.name: rule for rule in RULES}


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once, in the order of application. Raises UserError if there is no rule of a name."""
    chosen = set(names)
    for name in sorted(chosen - BY_NAME.keys()):
        near = get_close_matches(name, BY_NAME, n=1)
        advice = f"did you mean {near[0]}?" if near else f"choose from {', '.join(BY_NAME)}."
        raise UserError(f"There is no cleaning rule called {quoted(name)}; {advice}")
    return tuple(name for name in BY_NAME if name in chosen)


def parse_rules(typed: str) -> tuple[str, ...]:
    """The rules that a user typed, separated by commas or spaces: those that are named and the default ones.

    `all` stands for all of them; `only` leaves the default ones out: `only,nfc` is nfc alone. So does `none`.
    Raises UserError if there is no rule of a name.
    """
    words = typed.replace(",", " ").split()
    names = {word for word in words if word not in ("all", "none", "only", "default")}
    if "all" in words:
        names |= BY_NAME.keys()
    if not {"none", "only"} & set(words):
        names |= set(DEFAULT_RULES)
    return in_order(names)


def typed_rules(names: Iterable[str]) -> str:
    """The rules as `parse_rules` reads them; empty for the default ones. Names of no rule, as of a newer version, are kept."""
    chosen = tuple(names)
    if chosen == DEFAULT_RULES:
        return ""
    if chosen == tuple(BY_NAME):
        return "all"
    has_defaults = set(DEFAULT_RULES) <= set(chosen)
    if has_defaults:
        return ",".join(chosen)
    return ",".join(["only", *chosen]) if chosen else "none"


def clean_documents(
    parts: Iterable[DocumentPart], rules: Sequence[str], meter: FunnelMeter | None = None
) -> Iterator[DocumentPart]:
    """The documents as the rules leave them. A part without text says how much has been read while a rule holds text back, or
    that a document begins that has no text left.

    `meter` measures what each rule takes.
    Raises UserError if there is no rule of a name.
    """
    cleaners = [BY_NAME[name].cleaner() for name in in_order(rules)]
    for document in by_document(parts):
        if meter:
            meter.begin_document()
        starts = True
        for part in document:
            text = _through(cleaners, part.text, meter, last=False)
            if text or not starts:
                yield DocumentPart(text, part.read, starts)
                starts = False
        yield DocumentPart(_through(cleaners, "", meter, last=True), part.read, starts)
    if meter:
        meter.notes = tuple(note for cleaner in cleaners for note in cleaner.notes())


def _through(cleaners: list[Cleaner], text: str, meter: FunnelMeter | None, *, last: bool) -> str:
    kept = text
    for at, cleaner in enumerate(cleaners):
        kept = cleaner.clean(kept, last) if meter is None else meter.measured(at, cleaner, kept, last)
    if meter:
        meter.add(text, kept)
    return kept
