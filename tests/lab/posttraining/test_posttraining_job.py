"""The whole of a post-training in this process."""

from pathlib import Path

import pytest

from lab.posttraining.posttraining_job import PosttrainingJob
from lab.posttraining.progress_log import Line, Round, Started
from lab.posttraining.question_pairs import PairSource, QuestionPair
from lab.posttraining.settings import PosttrainSettings
from lab.runs.find_runs import open_run


def test_only_the_questions_of_rounds_that_there_is_time_for_are_drawn(
    home: Path, one_core: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[QuestionPair] = []
    draw = PairSource.draw

    def counted(source: PairSource, count: int, hedged: float = 0.0) -> list[QuestionPair]:
        pairs = draw(source, count, hedged)
        drawn.extend(pairs)
        return pairs

    monkeypatch.setattr(PairSource, "draw", counted)
    settings = PosttrainSettings(pairs=16, epochs=1, held_out=2, rounds=100_000, questions=2, group=2, seconds=0.001)
    lines: list[Line] = []
    PosttrainingJob(open_run("demo"), home, settings, lines.append).run()
    rounds = [line for line in lines if isinstance(line, Round)]
    assert [line.model for line in rounds] == ["rl"] * 3 + ["rl-free"] * 3
    assert len(drawn) == settings.held_out + settings.pairs + 3 * settings.questions
    asked = [line.question for line in rounds]
    assert asked[:3] == asked[3:] == [pair.question for pair in drawn[-6::2]], "the same with and without the penalty"
    assert isinstance(lines[0], Started)
