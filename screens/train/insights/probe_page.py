"""The page of the places: a sentence with its next token lit, a bar race of the most probable tokens, and a head's attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len

from lab.analysis.insight_sentences import head_name
from lab.core.number_format import counted, probability
from lab.runs.run_history import InsightHistory, InsightPoint, PlacePrediction, PlaceText
from screens.blocks.block_layout import POSITIVE_SHADES, bar
from screens.colour import ColouredPiece, heat, legend_bar
from screens.train.insights.page_lines import LABEL, Lines, evaluation_label, groups, shade_sign, step_axis, words_lines
from screens.widgets.text_fitting import Piece, fit, tail

MOST_BARS = 9
"""Bars of tokens: those that are kept of a prediction, and the next token."""
FEWEST_BARS = 3
NUMBER = 6
STRIP_SHARE = 0.4
"""Fraction of the room beside labels and numbers for the history of each token."""
LEGEND = 8
WIDEST_CELL = 5
UNKNOWN = "·"
"""A probability that was not among those kept at an evaluation."""

OverTime = Callable[[InsightPoint], float | None]
"""A number at each evaluation; None where it is not known."""

NOT_FINITE = "At this evaluation the model's outputs were NaN/inf."
NOT_MEASURED = "This place was not measured at this evaluation: the run was trained by an older version then."


def probe_lines(
    insights: InsightHistory, at: int, chosen: int | None, head: tuple[int, int], width: int, height: int, paints: bool
) -> Lines:
    """The chosen place, or for None the one that has changed most. `paints`: the terminal shows heat by colour."""
    places, point = insights.places, insights.points[at]
    if not point.predictions or not places:
        return words_lines(NOT_FINITE, width)
    index = insights.liveliest if chosen is None else min(chosen, len(places) - 1)
    place = places[index]
    above: Lines = [_place_line(insights, index), *sentence_lines(place, width)]
    prediction = point.predictions.get(place)
    if prediction is None:
        return [*above, *words_lines(NOT_MEASURED, width)]
    grid = _Grid(insights, at, width, paints)
    attention = _attention_lines(point, place, head, grid) if place == insights.probe and point.pattern.size else []
    room = height - len(above) - 2 - len(attention)
    if room > MOST_BARS + 2:
        above.append([])
        attention = [[], *attention]
    lines = [*above, *race_lines(place, prediction, grid, max(FEWEST_BARS, min(MOST_BARS, room))), *attention]
    room = height - len(lines) - 2
    return [*lines, [], *_places_lines(index, grid, room)] if len(places) > 1 and room >= FEWEST_BARS else lines


def _place_line(insights: InsightHistory, index: int) -> Sequence[ColouredPiece]:
    places = insights.places
    if len(places) == 1:
        return [("one place of the validation text", "title"), ("   all that this older run measured", "dim")]
    low, high = insights.range(places[index])
    after = f"after {counted(len(places[index].before), 'token')}"
    words = f"{after}, the true next one got {probability(low)} to {probability(high)} so far"
    return [(f"place {index + 1}/{len(places)} ↑/↓", "title"), (f"   {words}", "dim")]


def sentence_lines(place: PlaceText, width: int) -> Lines:
    """The text around the place, wrapped between tokens: the next token lit, and those after it dimmed."""
    pieces = [*((token, "text") for token in place.before), (place.truth, "lit"), *((token, "dim") for token in place.after)]
    lines: list[list[ColouredPiece]] = [[]]
    used = 0
    for token, role in pieces:
        if used and used + cell_len(token) > width:
            lines.append([])
            used = 0
        lines[-1].append((token, role))
        used += cell_len(token)
    return [*lines]


def race_lines(place: PlaceText, prediction: PlacePrediction, grid: _Grid, most: int) -> Lines:
    """A bar for each of the most probable tokens at this evaluation, and always for the next token; then all others together."""
    tokens = [token for token, _ in prediction.top][:most]
    if place.truth not in tokens:
        tokens = [*tokens[: most - 1], place.truth]
    highest = max(p for point in grid.insights.points for p in _probabilities(point.predictions.get(place)))
    full = f"full bar {probability(highest)}"
    lines: Lines = [grid.head(f"{evaluation_label(grid.insights, grid.at)} · space plays", full)]
    shown = 0.0

    def over_time(token: str) -> OverTime:
        def value(point: InsightPoint) -> float | None:
            found = point.predictions.get(place)
            return None if found is None else found.of(token)

        return value

    for token in tokens:
        p = prediction.of(token) or 0.0
        shown += p
        lit = token == place.truth
        lines.append(grid.bar_row(("▸" if lit else " ") + token, p, p / (highest or 1.0), over_time(token), lit))
    others = probability(max(0.0, 1 - shown)).rjust(NUMBER)
    if any(over_time(token)(point) is None for token in tokens for point in grid.insights.points):
        others += f"   {UNKNOWN} was not in the top {len(prediction.top)}"
    lines.append([(fit(" all others", LABEL) + " ", "dim"), (fit(others, NUMBER + grid.bar + 4), "dim"), *grid.legend()])
    return lines


def _places_lines(chosen: int, grid: _Grid, room: int) -> Lines:
    """The next token's probability at every place, as many around the chosen one as there is room for."""
    insights = grid.insights
    places = insights.places
    first = max(0, min(chosen - room // 2, len(places) - room))
    lines: Lines = [[("p of the next token at all places", "title"), ("   ↑/↓", "dim")]]
    for index, place in enumerate(places[first : first + room], first):

        def truth(point: InsightPoint, place: PlaceText = place) -> float | None:
            found = point.predictions.get(place)
            return None if found is None else found.truth_probability

        text, is_chosen = "".join(place.before), index == chosen
        shown = text if cell_len(text) <= grid.bar else "…" + tail(text, grid.bar - 1)
        label, now = ("▸" if is_chosen else " ") + place.truth, truth(insights.points[grid.at])
        lines.append(grid.row(label, now, (fit(shown, grid.bar, "right"), "dim"), truth, is_chosen))
    return lines


def _probabilities(prediction: PlacePrediction | None) -> list[float]:
    return [0.0] if prediction is None else [prediction.truth_probability, *(p for _, p in prediction.top)]


def _attention_lines(point: InsightPoint, place: PlaceText, head: tuple[int, int], grid: _Grid) -> Lines:
    layer, number = head
    lines: Lines = [
        [
            (f"attention of head {head_name(layer, number)} from “{place.before[-1]}”", "title"),
            ("   a leads to the heads, ↑/↓ choose one", "dim"),
        ]
    ]
    for key, token in enumerate(place.before):

        def weight(each: InsightPoint, key: int = key) -> float | None:
            return float(each.pattern[layer, number, key]) if each.pattern.size else None

        now = float(point.pattern[layer, number, key])
        lines.append(grid.bar_row(" " + token, now, now, weight))
    return lines


class _Grid:
    """Columns of the page: label, number, bar, and a cell for each evaluation."""

    def __init__(self, insights: InsightHistory, at: int, width: int, paints: bool) -> None:
        self.insights, self.at, self.paints = insights, at, paints
        room = width - LABEL - NUMBER - 5
        strip = max(1, min(int(room * STRIP_SHARE), len(insights.points) * WIDEST_CELL))
        self._ends, self._each, self._wide = groups(insights, strip, WIDEST_CELL)
        self._strip_width = len(self._ends) * self._wide
        self.bar = room - self._strip_width

    def head(self, title: str, words: str) -> Sequence[ColouredPiece]:
        """The line above the rows; a caret marks the evaluation shown."""
        start = LABEL + NUMBER + 5 + self.bar
        before = start + self._wide * (self.at // self._each)
        text = fit(f"{title} · {words}", start - 1) + " "
        axis = step_axis(self.insights, self._strip_width, "▾" * self._wide, before - start)
        return [(text, "title"), (axis, "title")]

    def legend(self) -> Sequence[ColouredPiece]:
        if self.paints:
            return legend_bar("sequential", "0", "100%", max(1, min(LEGEND, self._strip_width - len("0  100%"))))
        return [(f"{POSITIVE_SHADES} 25% each", "dim")]

    def bar_row(self, label: str, now: float, full: float, over_time: OverTime, lit: bool = False) -> Sequence[ColouredPiece]:
        """A token with its number `now`, a bar of the fraction `full`, and its numbers at all evaluations."""
        return self.row(label, now, (bar(full, self.bar), "strong" if lit else "bar"), over_time, lit)

    def row(self, label: str, now: float | None, beside: Piece, over_time: OverTime, strong: bool) -> Sequence[ColouredPiece]:
        """A label with its number `now`, what stands beside it, and its numbers at all evaluations."""
        role = "strong" if strong else "text"
        return [
            (fit(label, LABEL) + " ", role),
            ((UNKNOWN if now is None else probability(now)).rjust(NUMBER) + " ", role),
            (fit(beside[0], self.bar) + "   ", beside[1]),
            *self._strip(over_time),
        ]

    def _strip(self, over_time: OverTime) -> list[ColouredPiece]:
        pieces: list[ColouredPiece] = []
        for value in (over_time(self.insights.points[end]) for end in self._ends):
            if value is None:
                pieces.append((UNKNOWN * self._wide, "dim"))
            elif self.paints:
                pieces.append((" " * self._wide, heat("sequential", value)))
            else:
                pieces.append((shade_sign(value) * self._wide, "history"))
        return pieces
