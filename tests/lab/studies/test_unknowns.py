"""The study of hallucination: its figures by plain formulas, a tiny run of it, and the result that ships against its lesson."""

import math

import torch

from lab.studies import unknowns
from lab.studies.study_job import Line, Record, Rows, StudyHistory, recorded_seeds
from models.config import ModelConfig
from models.gpt import GPT


def tiny() -> StudyHistory:
    lines: list[Line] = []
    unknowns.study(Record(lines.append, seed=2), unknowns.Sizes(people=8, width=32, pretraining=150, tuning=5))
    history = StudyHistory()
    history.add(lines)
    return history


def test_people_are_drawn_by_the_seed_alone_and_each_has_a_home() -> None:
    people = unknowns.people_of(5, 4)
    assert people == unknowns.people_of(5, 4)
    assert people != unknowns.people_of(6, 4)
    assert [person.group for person in people] == [group for group in unknowns.GROUPS for _ in range(4)]
    assert len({person.name for person in people}) == len(people)
    assert all(person.home in unknowns.TOWNS for person in people)


def test_an_answer_its_probability_and_entropy_are_those_of_the_model() -> None:
    model = GPT(ModelConfig(layers=1, heads=2, width=16, context=8, vocab_size=len(unknowns.WORDS)), seed=4)
    people = unknowns.people_of(1, 2)
    found = unknowns.asked(model, people)
    for at, person in enumerate(people):
        with torch.no_grad():
            logits = model(torch.tensor([[unknowns.WORDS.index(word) for word in ("Where", "does", person.name, "live?")]]))[
                0, -1
            ]
        exps = [math.exp(value) for value in logits.tolist()]
        p = [value / sum(exps) for value in exps]
        assert found.words[at] == unknowns.WORDS[p.index(max(p))]
        assert abs(found.probability[at] - max(p)) < 1e-6
        assert abs(found.entropy[at] + sum(each * math.log(each) for each in p)) < 1e-5


def test_shares_are_of_right_false_and_refusing_answers() -> None:
    people = unknowns.people_of(1, 1)
    answers = [people[0].home, "I", "bread", "I"]
    assert unknowns.shares(answers, people) == (0.25, 0.25, 0.5)


def test_a_run_of_it_draws_every_view_and_its_tables_agree_with_its_curves() -> None:
    history = tiny()
    assert list(history.views) == ["sure before", "probing", "tuning", "alone", "held out", "sure after"]
    measures, curves = history.measures, history.curves
    for view, end in (("tuning", "after"), ("alone", "alone")):
        assert curves[view][unknowns.FALSE][0] == (0.0, measures["false_before"])
        assert curves[view][unknowns.REFUSED][-1][1] == measures[f"refused_{end}"]
    held_out = history.views["held out"]
    assert isinstance(held_out, Rows)
    told, untold = held_out.rows[:2], held_out.rows[2:]  # as many people in each row
    for rows, column, name in ((untold, 1, "false_before"), (untold, 2, "false_after"), (told, 5, "refused_after")):
        assert abs(sum(float(row[column]) for row in rows) / 2 - 100 * float(measures[name])) <= 0.5
    assert history.share == 1.0


def test_the_result_that_ships_bears_out_the_lesson() -> None:
    for history in recorded_seeds("unknowns"):
        bears_out_the_lesson(history)


def bears_out_the_lesson(history: StudyHistory) -> None:
    measures = {name: float(value) for name, value in history.measures.items() if not isinstance(value, str)}
    assert measures["towns_untold_before"] > 0.9, "fluent where the text tells nothing"
    assert measures["probability_untold_before"] > 0.5, "and mostly sure"
    assert measures["probability_often_before"] > measures["probability_untold_before"], "a trace of not knowing"
    assert measures["false_after"] < measures["false_before"] / 2, "false answers get fewer"
    assert 0 < measures["refused_after"] < measures["refused_alone"], "refused though told, and more so without the right answers"
    assert 0.3 < measures["right_after"] < measures["right_before"], "some right ones are lost"
    before, held_out = history.views["sure before"], history.views["held out"]
    assert isinstance(before, Rows)
    assert isinstance(held_out, Rows)
    entropy = [float(row[-1]) for row in before.rows]
    assert entropy[0] < min(entropy[2:])
    refused = [float(row[5]) for row in held_out.rows]
    assert refused[1] > refused[0], "those told seldom more than those told often"
    assert len(history.curves["tuning"][unknowns.FALSE]) == unknowns.POINTS + 1
