"""The whole of a post-training in this process."""

from pathlib import Path

import pytest

from lab.posttraining.posttraining_job import PosttrainingJob
from lab.posttraining.progress_log import Line, Round, Started
from lab.posttraining.question_pairs import PairSource, QuestionPair
from lab.posttraining.settings import PosttrainSettings
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run


def test_where_time_is_short_there_are_fewer_rounds_the_same_number_of_both_and_no_more_questions(
    home: Path, one_core: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round seems to take a second, the first of them none: after the third there is time for four, after that for three."""
    drawn: list[QuestionPair] = []
    draw = PairSource.draw

    def counted(source: PairSource, count: int, hedged: float = 0.0) -> list[QuestionPair]:
        pairs = draw(source, count, hedged)
        drawn.extend(pairs)
        return pairs

    monkeypatch.setattr(PairSource, "draw", counted)
    monkeypatch.setattr("lab.posttraining.posttraining_job.STORIES", 2)
    settings = PosttrainSettings(pairs=16, epochs=1, held_out=2, rounds=100_000, questions=2, group=2, seconds=7.0)
    lines: list[Line] = []
    rounds: list[Round] = []
    monkeypatch.setattr(PosttrainingJob, "seconds", property(lambda job: float(len(rounds))))

    def log(line: Line) -> None:
        lines.append(line)
        if isinstance(line, Round):
            rounds.append(line)

    PosttrainingJob(open_run("demo"), home, settings, log).run()
    assert [line.model for line in rounds] == ["rl"] * 4 + ["rl-free"] * 4
    tuning = Run(home / "demo-rl-free").config.tuning
    assert tuning is not None
    assert tuning.rounds == 4
    assert len(drawn) == settings.held_out + settings.pairs + 4 * settings.questions
    asked = [line.question for line in rounds]
    assert asked[:4] == asked[4:] == [pair.question for pair in drawn[-8::2]], "the same with and without the penalty"
    assert isinstance(lines[0], Started)
