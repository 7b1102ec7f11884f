"""The views of a post-training, with sentences on what came of it. They are made from its history alone. No torch.

Every sentence is put together from measured numbers, and what it concludes depends on them: a run in which the penalty changed
nothing says so.
"""

from collections.abc import Callable, Sequence
from functools import cache
from statistics import fmean
from typing import TypeVar

from lab.core.number_format import fixed, probability, whole
from lab.core.visible_text import visible
from lab.training.posttraining.posttraining_record import (
    SHOWN,
    Evaluation,
    Model,
    PosttrainingHistory,
    PosttrainSettings,
    Round,
    SftStep,
)
from lab.training.posttraining.question_pairs import PairSource, QuestionPair
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View

Line = TypeVar("Line", SftStep, Round)

NAMES: dict[Model, str] = {"base": "base", "sft": "SFT", "rl": "RL, KL penalty", "rl-free": "RL, no penalty"}
"""Names of the models on screen."""
MOST_ROWS = 10
"""Rows of a table of steps or rounds, which are then averaged."""
AT_THE_ENDS = 5
"""Most rounds averaged at the beginning and at the end for sentences: single rounds vary."""
EXPLOITED = 0.2
"""Share of answers, rewarded but not the right animal alone, from which a policy is said to exploit the reward."""
FORGOTTEN = 0.01
"""Rise of the loss on ordinary stories, in nats per token, that is called forgetting."""
NAME_WIDTH = 16
LEAST_ANSWER, MOST_ANSWER = 12, 48
"""Columns of an answer in a table."""

NOTHING = "Nothing is measured yet."


def pairs_view(history: PosttrainingHistory) -> View:
    """Questions with the answers to learn from, and one as the model sees it."""
    started = history.started
    if started is None:
        return View("pairs", "questions and answers", NOTHING, [])
    settings = started.settings
    sentence = (
        f"{whole(settings.pairs)} questions with answers to learn from, {whole(started.hedged)} of which name both animals of "
        f"the story; {whole(settings.held_out)} questions about other stories are kept for evaluation."
    )
    return _pairs_view(sentence, started.pairs, f"the first {len(started.pairs)} of {whole(settings.pairs)}")


@cache
def examples_view() -> View:
    """Questions such as those of a post-training by the usual settings, before there is one."""
    settings = PosttrainSettings()
    source = PairSource(settings.seed, lambda pair: True)
    source.draw(settings.held_out)
    pairs = source.draw(SHOWN, settings.hedged)
    hedged = probability(settings.hedged, 0)
    return _pairs_view(f"An answer to learn from names both animals with a probability of {hedged}.", pairs, "such as these")


def _pairs_view(sentence: str, pairs: Sequence[QuestionPair], title: str) -> View:
    rows = [[Cell(pair.question), Cell(shown_answer(pair.target)), Cell(pair.right)] for pair in pairs]
    columns = [Column("question", "left"), Column("answer to learn", "left"), Column("right", "left")]
    blocks: list[Block] = [Table(columns, rows, title=title)]
    if pairs:
        blocks.insert(0, Paragraph(f"The model sees: {visible(pairs[0].prompt + pairs[0].target)}"))
    return View("pairs", "questions and answers", sentence, blocks)


def comparison_view(history: PosttrainingHistory, width: int = 80, seeds: Sequence[PosttrainingHistory] = ()) -> View:
    """The models side by side: measures, with the range over the recorded `seeds`, and answers to held-out questions."""
    found = history.evaluated
    if not found or history.started is None:
        return View("comparison", "before and after", NOTHING, [])
    blocks: list[Block] = [_measures_table(found, seeds), _answers_table(history, width)]
    return View("comparison", "before and after", comparison_sentence(history), blocks)


def comparison_sentence(history: PosttrainingHistory) -> str:
    """Exact answers of all models, and what the last one shows."""
    found = history.evaluated
    words = ", ".join(f"{NAMES[each.model]} {probability(each.exact, 0)}" for each in found)
    sentence = f"Exact answers to {whole(found[0].questions)} held-out questions: {words}; at random, one of two: 50%."
    free = history.evaluations.get("rl-free")
    if free is None:
        return sentence
    hacked = free.rewarded - free.exact
    rewarded = f"{sentence} Without the penalty {probability(free.rewarded, 0)} are rewarded"
    if hacked < EXPLOITED:
        return f"{rewarded}: it hardly used the hole in the reward."
    return f"{rewarded}, {probability(hacked, 0)} only through the hole in the reward."


def _measures_table(found: Sequence[Evaluation], seeds: Sequence[PosttrainingHistory]) -> Table:
    measures: tuple[tuple[str, Callable[[Evaluation], float], bool], ...] = (
        ("exact: the right animal alone", lambda each: each.exact, True),
        ("rewarded: it is named anywhere", lambda each: each.rewarded, True),
        ("names several animals", lambda each: each.several, True),
        ("well-formed: one animal alone", lambda each: each.well_formed, True),
        ("tokens an answer", lambda each: each.length, False),
        ("loss on right answers (nats)", lambda each: each.answer_loss, False),
        ("loss on ordinary stories (nats)", lambda each: each.story_loss, False),
    )
    rows = list[list[Cell]]()
    for name, value, is_share in measures:
        rows.append(
            [Cell(name), *(_share(value(each)) if is_share else Cell(fixed(value(each), 2), value(each)) for each in found)]
        )
        if seeds:
            of_seeds = [[value(seed.evaluations[each.model]) for seed in seeds] for each in found]
            rows.append([Cell(f"  {len(seeds)} seeds", style="dim"), *(_range(values, is_share) for values in of_seeds)])
    columns = [Column("", "left"), *(Column(NAMES[each.model]) for each in found)]
    return Table(columns, rows, title=f"{whole(found[0].questions)} held-out questions, answered greedily")


def _range(values: Sequence[float], is_share: bool) -> Cell:
    low, high = (probability(end, 0) if is_share else fixed(end, 2) for end in (min(values), max(values)))
    return Cell(low if low == high else f"{low}–{high}", style="dim")


def _answers_table(history: PosttrainingHistory, width: int) -> Table:
    assert history.started is not None
    found = history.evaluated
    room = max(LEAST_ANSWER, min((width - NAME_WIDTH) // len(found) - 2, MOST_ANSWER))
    tuned = [each for each in found if each.model != "base"] or found
    # Answers too long to stand side by side have a row each: the end of one tells what is wrong with it.
    stacked = any(len(shown_answer(answer)) > room for each in tuned for answer in each.answers)
    if stacked:
        room = max(LEAST_ANSWER, min(width - 2 * NAME_WIDTH - 4, MOST_ANSWER))
    names = [Cell(NAMES[each.model]) for each in found]
    rows = list[list[Cell]]()
    for index, pair in enumerate(history.started.questions):
        asked = Cell(f"{pair.name} ({pair.right})")
        answers = [_answer_cell(each, index, pair.right, room) for each in found]
        firsts = [asked, *(Cell("") for _ in found[1:])]
        rows += map(list, zip(firsts, names, answers, strict=True)) if stacked else [[asked, *answers]]
    titles = ["model", "answer"] if stacked else [NAMES[each.model] for each in found]
    columns = [Column(title, "left") for title in ("asked (right)", *titles)]
    return Table(columns, rows, title="answers; ␊ ends one")


def _answer_cell(found: Evaluation, index: int, right: str, room: int) -> Cell:
    if index >= len(found.answers):
        return Cell("")
    answer = found.answers[index]
    return Cell(shown_answer(answer, room), style="strong" if answer.strip() == right else "")


def sft_view(history: PosttrainingHistory) -> View:
    """The loss of SFT, and what it did to held-out answers and to ordinary stories."""
    base, tuned = history.evaluations.get("base"), history.evaluations.get("sft")
    title = "supervised fine-tuning: loss on the answers"
    if not history.sft:
        return View("sft", title, NOTHING, [])
    sentence = f"{history.sft[-1].step} of {history.sft[-1].steps} steps; the loss counts the tokens of the answers alone."
    if base is not None and tuned is not None:
        answers = f"Loss on held-out answers: {fixed(base.answer_loss, 2)} before, {fixed(tuned.answer_loss, 2)} after."
        stories = f"Loss on ordinary stories: {fixed(base.story_loss, 3)} before, {fixed(tuned.story_loss, 3)} after"
        forgotten = ": it has forgotten some of what it could" if tuned.story_loss - base.story_loss >= FORGOTTEN else ""
        sentence = f"{answers} {stories}{forgotten}."
    parts = _parts(history.sft)
    losses = [fmean(step.loss for step in part) for part in parts]
    top = max(losses)
    rows = [
        [Cell(_span(part[0].step, part[-1].step)), Cell(fixed(loss, 3), loss, bar=loss / top if top else 0.0)]
        for part, loss in zip(parts, losses, strict=True)
    ]
    return View("sft", title, sentence, [Table([Column("steps"), Column("mean loss (nats)", "left")], rows)])


def rounds_view(history: PosttrainingHistory) -> View:
    """Reward, exact answers and KL by round, with the KL penalty and without."""
    title = "reinforcement learning: with the KL penalty and without"
    kept, free = history.rounds.get("rl", []), history.rounds.get("rl-free", [])
    if not kept or history.started is None:
        return View("rounds", title, NOTHING, [])
    beta = history.started.settings.beta
    tables = [_rounds_table(kept, f"with the penalty, β = {beta:g}")]
    if free:
        tables.append(_rounds_table(free, "without a penalty, β = 0"))
    return View("rounds", title, rounds_sentence(kept, free), list(tables))


def rounds_sentence(kept: Sequence[Round], free: Sequence[Round]) -> str:
    """Reward and exact answers at the beginning and at the end of each."""
    words = f"{_averaged(kept)}. With the KL penalty: {_course(kept)}."
    if free:
        fewer = "" if _at_each_end(free) == _at_each_end(kept) else f", {_averaged(free).lower()}"
        words += f" Without{fewer}: {_course(free)}."
    return words


def _at_each_end(rounds: Sequence[Round]) -> int:
    """Rounds averaged at each end: none is at both. 0 where there is one round alone."""
    return min(AT_THE_ENDS, len(rounds) // 2)


def _averaged(rounds: Sequence[Round]) -> str:
    each = _at_each_end(rounds)
    if each <= 1:
        return "The first and the last round" if each else "One round alone"
    return f"Means of the first and the last {each} rounds"


def _course(rounds: Sequence[Round]) -> str:
    each = _at_each_end(rounds)
    ends = (rounds[:each], rounds[-each:]) if each else (rounds,)
    reward = " → ".join(probability(fmean(line.reward for line in part), 0) for part in ends)
    exact = " → ".join(probability(fmean(line.exact for line in part), 0) for part in ends)
    kl = fixed(fmean(line.kl for line in ends[-1]), 1)
    return f"reward {reward}, exact {exact}, KL {kl} nats"


def _rounds_table(rounds: Sequence[Round], title: str) -> Table:
    rows = []
    for part in _parts(rounds):
        reward, exact = fmean(line.reward for line in part), fmean(line.exact for line in part)
        kl, length = fmean(line.kl for line in part), fmean(line.length for line in part)
        rows.append(
            [
                Cell(_span(part[0].round, part[-1].round)),
                _share(reward),
                _share(exact),
                Cell(fixed(kl, 2), kl),
                Cell(fixed(length, 1), length),
                Cell(shown_answer(part[-1].answer, LEAST_ANSWER)),
            ]
        )
    columns = [
        *(Column("rounds"), Column("reward", "left"), Column("exact", "left"), Column("KL (nats)"), Column("tokens", optional=2)),
        Column("an answer", "left", optional=1),
    ]
    return Table(columns, rows, title=title)


def _share(value: float) -> Cell:
    return Cell(probability(value, 0), value, bar=value)


def _parts(lines: Sequence[Line]) -> list[Sequence[Line]]:
    """The lines in at most `MOST_ROWS` parts of one size, the last of which may be shorter."""
    size = -(-len(lines) // MOST_ROWS)
    return [lines[start : start + size] for start in range(0, len(lines), size)]


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"


def shown_answer(answer: str, most: int = MOST_ANSWER) -> str:
    """An answer as it can be shown, cut where it is long."""
    text = visible(answer.removeprefix(" "))
    return text if len(text) <= most else f"{text[: most - 1]}…"
