"""A view of thumbnails opens at its sentence, or, where too little of the chosen one is in sight below it, with no part of it."""

import numpy as np
import pytest
from textual.app import App, ComposeResult

from lab.views.blocks import Array, Gallery, Thumbnail, View
from screens.blocks.block_view import BlockView


class ViewApp(App[None]):
    AUTO_FOCUS = None

    def compose(self) -> ComposeResult:
        yield BlockView()


@pytest.mark.parametrize(
    ("side", "chosen", "lines", "first"), [(12, 1, 18, "head one"), (12, 1, 17, "all"), (4, 2, 18, "all"), (12, 2, 17, None)]
)
async def test_it_opens_with_the_whole_sentence_or_none_of_it(side: int, chosen: int, lines: int, first: str | None) -> None:
    picture = Array.of(np.full((side, side), 0.5, dtype=np.float32))
    thumbnails = [Thumbnail(f"{n}", picture, "", "a head", float(n), f"e[{n}]") for n in range(6)]
    app = ViewApp()
    async with app.run_test(size=(30, lines)):
        view = app.query_one(BlockView)
        words = "head one\nis diffuse\nat this token\nof the prompt\nas its\nentropy\nis high"
        view.show(View(stage="thumbnails", title="", sentence=words, blocks=[Gallery("all", "", thumbnails, 2, chosen)]))
        spot = view.laid.spot(view.laid.followed())  # type: ignore[arg-type]
        assert view.top <= spot.line < view.top + view.window, "the chosen one is in sight"
        assert view.draw(view.top).text.startswith(first) if first else view.top > view.laid.tops[1]
