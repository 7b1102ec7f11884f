"""The study of few-shot prompts: its documents, Bayes' rule by trying everything, its figures, and the recorded result."""

from itertools import product

import numpy as np
import pytest
import torch

from lab.lessons.conditions import fill, parse_experiment_guess
from lab.lessons.lesson import lessons
from lab.studies import few_shot
from lab.studies.few_shot import (
    BORDER,
    CASES,
    COLON,
    COUNT,
    END,
    LANGUAGES,
    LINES,
    ROWS,
    by_bayes,
    documents,
    right_answers,
    study,
)
from lab.studies.study_job import Line, Measured, Plot, Point, Record, Rows, StudyHistory, median_of, recorded_seeds, sentences_of
from models.config import ModelConfig
from models.gpt import GPT


def test_documents_are_lists_of_translations_in_the_shares_that_are_said() -> None:
    assert all(len(row) == 4 for row in ROWS)
    assert len({word for row in ROWS for word in row}) == 4 * COUNT
    found = documents(np.random.default_rng(1), 4000)
    assert (found[:, 0] == BORDER).all()
    words, colons, answers, ends = found[:, 1:].reshape(-1, LINES, 4).transpose(2, 0, 1)
    assert (colons == COLON).all()
    assert (ends == END).all()
    assert (answers % COUNT == words).all()
    assert all(len(set(each)) == LINES for each in words.tolist())
    expected = [0.8 * share + 0.1 * (1 - share) for share in (0.6, 0.3, 0.1)]
    assert [float((answers // COUNT == language + 1).mean()) for language in range(3)] == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("examples", range(6))
def test_bayes_rule_is_the_share_among_all_lists_that_begin_with_the_examples(examples: int) -> None:
    line = [[0.8 if a == b else 0.1 for b in range(3)] for a in range(3)]
    for language in range(3):
        begins = goes_on = 0.0
        for document, following in product(range(3), range(3)):
            p = (0.6, 0.3, 0.1)[document] * line[document][language] ** examples * line[document][following]
            begins += p
            goes_on += p * (following == language)
        assert by_bayes(language, examples) == pytest.approx(goes_on / begins)


def test_right_answers_are_mean_probabilities_of_the_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_shot, "CASES", 4)
    model = GPT(ModelConfig(layers=1, heads=1, width=8, context=32, vocab_size=END + 1), seed=2).eval()
    words = np.argsort(np.random.default_rng(9).random((4, COUNT)))[:, :6].tolist()
    for language, moved in ((0, 0), (2, 0), (2, 1)):
        found = right_answers(model, 9, language, moved)
        for examples in range(6):
            each = []
            for asked in words:
                right = [(language + 1) * COUNT + (word + moved) % COUNT for word in asked]
                ids = [BORDER]
                for word, answer in zip(asked[:examples], right, strict=False):
                    ids += [word, COLON, answer, END]
                with torch.no_grad():
                    p = torch.softmax(model(torch.tensor([[*ids, asked[examples], COLON]]))[0, -1], -1)
                each.append(float(p[right[examples]]))
            assert found[examples] == pytest.approx(np.mean(each), rel=1e-4)


def test_a_short_run_records_its_curves_and_bayes_rule() -> None:
    lines: list[Line] = []
    study(Record(lines.append, 5), steps=50)
    history = StudyHistory()
    history.add(lines)
    assert list(history.views) == ["examples", "training", "prompt"]
    assert set(history.curves["examples"]) == {"German", "Spanish", "Spanish by Bayes' rule", "a new rule"}
    assert history.curves["training"]["three examples"] == [(50 * 32 * 33, history.curves["training"]["three examples"][0][1])]
    spanish = dict(history.curves["examples"]["Spanish"])
    assert (history.measures["zero"], history.measures["three"]) == (spanish[0], spanish[3])
    drawn = [(at, name) for at, name in enumerate(LANGUAGES) if name in history.curves["examples"]]
    gaps = [abs(y - by_bayes(at, int(x))) for at, name in drawn for x, y in history.curves["examples"][name]]
    assert max(gaps) <= float(history.measures["gap"]) < 1
    assert history.curves["examples"]["Spanish by Bayes' rule"] == [(x, by_bayes(2, x)) for x in range(6)]
    assert history.share == 1.0
    assert not any(isinstance(line, Measured | Plot | Point | Rows) and "nan" in str(line) for line in lines)


def test_the_recorded_result_shows_what_the_lesson_says() -> None:
    seeds = recorded_seeds("few_shot")
    for each in seeds:
        assert each.measures["zero"] < min(0.3, each.measures["three"])  # type: ignore[operator]
        assert each.measures["new_rule"] < 0.05, "a rule of no list is not learned"  # type: ignore[operator]
        assert each.measures["bayes_three"] == pytest.approx(by_bayes(2, 3))
    history, measures = seeds[0], median_of(seeds).measures
    holding = sum(float(each.measures["three"]) > 0.5 for each in seeds)
    said = fill(sentences_of("few_shot")["examples"], measures, seeds=[each.measures for each in seeds])
    assert f"above one half in {'all' if holding == len(seeds) else f'{holding} of'} {len(seeds)} seeds" in said
    table = history.views["prompt"]
    assert isinstance(table, Rows)
    assert [row[0] for row in table.rows][:2] == ["dog :", "water : agua / dog :"]
    away = [abs(float(row[3]) / 100 - by_bayes(2, examples)) for examples, row in enumerate(table.rows)]
    assert max(away) > float(history.measures["gap"]), "the gap is that of means over lists, not of the prompt in this table"
    said = fill(sentences_of("few_shot")["prompt"], measures, seeds=[each.measures for each in seeds])
    assert f"Over {CASES} lists of each language, the mean probability of the right answer is at most" in said
    lesson = next(lesson for lesson in lessons() if lesson.name == "simulator-of-documents")
    options = next(step.live.options for step in lesson.steps if step.live is not None and step.live.widget == "predict-study")
    guess = parse_experiment_guess({**options, "experiment": "few_shot"})
    held = [each is not None and each.holds(measures) for each in guess.conditions]
    assert held == [False, False, False], "the third holds where no other does"
    assert guess.conditions[2] is None
