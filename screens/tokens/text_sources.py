"""Texts for the box of Tokens: examples, a file, the text in use."""

from textual import work
from textual.binding import Binding

from lab.core.errors import UserError
from lab.runs.run_schema import DEFAULT_RULES
from screens.about_key import About
from screens.background import in_thread, latest
from screens.base_screen import PagedScreen
from screens.dialogs.ask import AskText
from screens.tokens.text_box import TextBox

LOADED_CHARACTERS = 20_000
"""Characters of a file that are loaded into the box."""


class TextSources(PagedScreen):
    """A screen with a text box, and the keys that put a text into it. The user's own text comes back after the last example."""

    BINDINGS = [
        Binding("n", "example(1)", "Example", id="tokens.example", tooltip="The next example; after the last your own text")
        | About(
            "Text",
            synonyms="emoji numbers indentation languages running code next",
            matters=lambda tokens: tokens.current.TAKES_TEXT,
        ),
        Binding("N", "example(-1)", "Example back", id="tokens.example_back", show=False, tooltip="The example before"),
        Binding("o", "load", "Open", id="tokens.load", tooltip="Load a text file into the box")
        | About("Text", synonyms="open file text read", matters=lambda tokens: tokens.current.TAKES_TEXT),
        Binding("u", "load_used", "Text in use", id="tokens.used", tooltip="Load the text chosen in Data into the box")
        | About("Text", synonyms="corpus training text load", matters=lambda tokens: tokens.current.TAKES_TEXT),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._example: int | None = None
        """The example in the box; None while the text is the user's own."""
        self._own_text = ""
        """The user's own text while an example is in the box."""

    @property
    def box(self) -> TextBox:
        return self.query_one(TextBox)

    def text_changed(self) -> None:
        """Say in the border of the box where its text comes from."""
        from lab.tokenization.text_examples import EXAMPLES

        if self._example is not None and self.box.text != EXAMPLES[self._example].text:
            self._example = None
        at = self._example
        name = TextBox.BORDER_TITLE if at is None else f"example {at + 1} of {len(EXAMPLES)}: {EXAMPLES[at].title}"
        if self.box.border_title != name:
            self.box.border_title = name

    def action_example(self, by: int) -> None:
        """Put the next example into the box; the user's own text stands between the last and the first."""
        from lab.tokenization.text_examples import EXAMPLES

        if self._example is None:
            self._own_text = self.box.text
        at = (len(EXAMPLES) if self._example is None else self._example) + by
        at %= len(EXAMPLES) + 1
        self._example = at if at < len(EXAMPLES) else None
        self.box.replace_all(self._own_text if self._example is None else EXAMPLES[at].text)
        self.text_changed()

    @work(group="ask")
    async def action_load(self) -> None:
        """Ask for a path, and load the beginning of that text."""
        words = "The path of a text file, or stories, or python. Its first 20,000 characters come into the box."
        path = await self.app.push_screen_wait(AskText("Load a text", words))
        if path:
            self._load(path.strip())

    def action_load_used(self) -> None:
        if self.lab.text_source:
            self._load(self.lab.text_source, self.lab.text_encoding, self.lab.text_cleaning)
        else:
            self.notify("No text is in use: choose one in 2 Data, or load a file with o.", markup=False)

    @latest("load")
    async def _load(self, source: str, encoding: str = "", cleaning: tuple[str, ...] = DEFAULT_RULES) -> None:
        def read() -> tuple[str, str]:
            from lab.data.corpus import preview
            from lab.data.text_source import open_corpus

            corpus = open_corpus(source, encoding or None, cleaning=cleaning)
            return corpus.name, preview(corpus, LOADED_CHARACTERS)

        try:
            name, text = await in_thread(read)
        except UserError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.box.replace_all(text)
        if len(text) == LOADED_CHARACTERS:
            self.notify(f"The first {LOADED_CHARACTERS:,} characters of {name}.", markup=False)
