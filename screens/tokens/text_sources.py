"""Texts for the box of Tokens: examples, a file, the text in use."""

from collections.abc import Callable
from functools import partial

from textual import work
from textual.binding import Binding

from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.data.corpus import shown_source
from lab.runs.run_schema import DEFAULT_RULES
from screens.about_key import About, described, keyless
from screens.background import in_thread, latest
from screens.base_screen import PagedScreen
from screens.dialogs.ask import AskText, RunChooser
from screens.tokens.text_box import TextBox

LOADED_CHARACTERS = 20_000


class TextSources(PagedScreen):
    """A screen with a text box, and the keys that put a text into it. The user's own text comes back after the last example."""

    BINDINGS = described(
        Binding("n", "new_text", "New text", id="tokens.new", tooltip="New text: an example, a file, the text chosen in Data"),
        About("Text", synonyms="load open menu", matters=lambda tokens: tokens.current.TAKES_TEXT),
        keyless("example(1)", "tokens.example", "The next example; after the last your own text", "Example"),
        About("Text", synonyms="emoji numbers indentation languages running code next"),
        keyless("example(-1)", "tokens.example_back", "The example before", "Example back"),
        keyless("load", "tokens.load", "Load a text file into the box", "Open"),
        About("Text", synonyms="open file text read"),
        keyless("load_used", "tokens.used", "Load the text chosen in Data into the box", "Text in use"),
        About("Text", synonyms="corpus training text load"),
    )

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
        title = "" if at is None else EXAMPLES[at].title
        name = TextBox.BORDER_TITLE if at is None else f"example {at + 1} of {len(EXAMPLES)}: {title}"
        if self.box.border_title != name:
            self.box.border_title = name

    def action_example(self, by: int) -> None:
        """Put the next example into the box; the user's own text stands between the last and the first."""
        from lab.tokenization.text_examples import EXAMPLES

        at = ((len(EXAMPLES) if self._example is None else self._example) + by) % (len(EXAMPLES) + 1)
        self._put_example(at if at < len(EXAMPLES) else None)

    def _put_example(self, at: int | None) -> None:
        from lab.tokenization.text_examples import EXAMPLES

        if self._example is None:
            self._own_text = self.box.text
        self._example = at
        self.box.replace_all(self._own_text if at is None else EXAMPLES[at].text)
        self.text_changed()

    @work(group="ask")
    async def action_new_text(self) -> None:
        from lab.tokenization.text_examples import EXAMPLES

        used = self.lab.text_source
        texts: dict[str, tuple[str, Callable[[], object]]] = {
            **{each.title: ("example", partial(self._put_example, at)) for at, each in enumerate(EXAMPLES)},
            "your own text": ("as before the examples", partial(self._put_example, None)),
            "a file": ("asks for its path", self.action_load),
            "the text chosen in Data": (visible(shown_source(used)) if used else "none yet", self.action_load_used),
            "an empty box": ("ctrl+z brings the text back", self.box.action_clear_text),
        }
        now = "your own text" if self._example is None else EXAMPLES[self._example].title
        lines = [(name, words) for name, (words, _) in texts.items()]
        if name := await self.app.push_screen_wait(RunChooser(lines, now, title="new text")):
            texts[name][1]()

    @work(group="ask")
    async def action_load(self) -> None:
        words = "The path of a text file, or stories, or python. Its first 20,000 characters come into the box."
        path = await self.app.push_screen_wait(AskText("Load a text", words))
        if path:
            self._load(path.strip())

    def action_load_used(self) -> None:
        if self.lab.text_source:
            self._load(self.lab.text_source, self.lab.text_encoding, self.lab.text_cleaning)
        else:
            self.notify("No text is in use: choose one in 2 Data, or load a file with n.", markup=False)

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
