"""The work of a post-training: evaluate the base, fine-tune it, reinforce it with and without the KL penalty, save all three."""

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import torch

from lab.core.errors import UserError
from lab.runs.origin import TuningConfig
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.run_schema import TrainConfig
from lab.runs.weights_file import NotFiniteError, load_model
from lab.training.posttraining.answers import Answerer
from lab.training.posttraining.posttraining_schema import (
    MODELS,
    SHOWN,
    Evaluation,
    Line,
    Model,
    PosttrainSettings,
    Saved,
    Started,
    rl_lr_for,
)
from lab.training.posttraining.question_pairs import PairSource, QuestionPair, draw_stories
from lab.training.posttraining.sft_and_rl import fine_tune, reinforce, sft_steps
from lab.training.posttraining.tuned_run import save_tuned_run, weights_checksum
from lab.training.posttraining.work_folder import tuned_name
from models.gpt import GPT
from models.sampling import LogitsError

STORIES = 64
"""Ordinary stories whose loss is measured."""
STORY_SEED = 0x5707
"""Seed of these stories, the same for all post-trainings."""
TIMED_ROUNDS = 3
"""Rounds after which the time of all is estimated."""
TIME_OF_BOTH_POLICIES = 2.4
"""Time of all rounds, with and without the penalty, as a multiple of those with it: without, answers grow longer."""


class PosttrainingJob:
    """Runs once, and saves the models in the folder `where`. `log` is given the lines of progress.jsonl as they come."""

    def __init__(
        self, base: Run, where: Path, settings: PosttrainSettings, log: Callable[[Line], None], prediction: str = ""
    ) -> None:
        self._base, self._where, self._settings, self._log, self._prediction = base, where, settings, log, prediction
        self._began = time.monotonic()
        self._questions: list[list[QuestionPair]] = []
        """Those of each round, as far as it has been reached."""

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def run(self) -> None:
        """Do all of it.

        Raises:
            UserError: if the base cannot be used, a model diverged, or a run cannot be saved.
        """
        torch.set_num_threads(1)  # products this small gain nothing from more, and results depend on their number
        settings = self._settings
        model, step = load_model(self._base)
        answerer = Answerer(tokenizer_of(self._base), model.config.context)
        source = PairSource(settings.seed, answerer.fits)
        self._held_out = source.draw(settings.held_out)
        pairs = source.draw(settings.pairs, settings.hedged)
        self._stories = draw_stories(STORIES, STORY_SEED)
        self._source, self._answerer, self._step, self._checksum = source, answerer, step, weights_checksum(model)
        self._log(
            Started(
                base=self._base.name,
                base_step=step,
                settings=settings,
                time=time.time(),
                pairs=tuple(pairs[:SHOWN]),
                questions=tuple(self._held_out[:SHOWN]),
                hedged=sum(pair.answer != pair.right for pair in pairs),
                prediction=self._prediction,
            )
        )
        try:
            self._log(self._evaluation(model, "base"))
            for line in fine_tune(model, answerer, pairs, settings):
                self._log(line)
            self._keep(model, "sft", 0)
            rounds = settings.rounds
            for name in MODELS[2:]:
                policy = copy.deepcopy(model)
                rounds = self._reinforce(policy, model, name, rounds)
                self._keep(policy, name, rounds)
        except (LogitsError, NotFiniteError) as error:
            raise UserError(
                f"The training of {self._base.name} diverged: its weights are no numbers any more. A lower learning rate helps."
            ) from error

    def _reinforce(self, policy: GPT, reference: GPT, name: Model, rounds: int) -> int:
        """Reinforce in so many rounds, or fewer where the time would not suffice for as many without the penalty.

        Returns their number.
        """
        settings = self._settings
        began, most = self.seconds, rounds
        asked = self._asked(rounds)
        for line in reinforce(policy, reference, self._answerer, asked, rounds, self._stories, settings, name):
            if line.round >= TIMED_ROUNDS and name == "rl":
                each = (self.seconds - began) / line.round
                most = min(rounds, max(line.round, int((settings.seconds - began) / (TIME_OF_BOTH_POLICIES * each))))
            self._log(msgspec.structs.replace(line, rounds=most, seconds=self.seconds))
            if line.round >= most:
                return line.round
        return rounds

    def _asked(self, rounds: int) -> Iterator[list[QuestionPair]]:
        """The questions of each round, drawn when it is first reached: they are the same with and without the penalty."""
        for number in range(rounds):
            if number == len(self._questions):
                self._questions.append(self._source.draw(self._settings.questions))
            yield self._questions[number]

    def _keep(self, model: GPT, name: Model, rounds: int) -> None:
        """Evaluate a model and save it as a run."""
        settings = self._settings
        self._log(self._evaluation(model, name))
        tuning = TuningConfig(
            base=self._base.name,
            base_step=self._step,
            base_sha256=self._checksum,
            method="sft" if name == "sft" else "rl",
            pairs=settings.pairs,
            rounds=rounds,
            beta=settings.beta if name == "rl" else 0.0,
        )
        train = TrainConfig(
            batch=settings.sft_batch,
            steps=sft_steps(settings) + rounds,
            lr=settings.sft_lr if name == "sft" else rl_lr_for(settings, model.config.width),
            weight_decay=0.0,
            seed=settings.seed,
            threads=1,
            prompts=(self._held_out[0].prompt,),
            sample_tokens=self._answerer.most_tokens,
        )
        run = save_tuned_run(self._base, tuned_name(self._base.name, name), self._where, model, tuning, train)
        self._log(Saved(name, run.name))

    def _evaluation(self, model: GPT, name: Model) -> Evaluation:
        return self._answerer.evaluate(model, name, self._held_out, self._stories)
