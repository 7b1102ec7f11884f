"""The work of a post-training: evaluate the base, fine-tune it, reinforce it with and without the KL penalty, save all three."""

import copy
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import torch
from torch import nn

from lab.core.atomic_io import os_error_in_words, write_atomic
from lab.core.errors import UserError
from lab.core.safe_open import LARGEST_TOKENIZER, read_regular
from lab.core.unfinished_folder import unfinished_folder
from lab.planning.prepare_run import publish
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.run_schema import RunConfig, Status, TrainConfig
from lab.runs.schema_parts import TuningConfig, tuning_sentence
from lab.runs.weights_file import NotFiniteError, load_model, save_best
from lab.training.posttraining.answers import Answerer
from lab.training.posttraining.posttraining_record import (
    MODELS,
    SHOWN,
    Evaluation,
    Line,
    Model,
    PosttrainSettings,
    Saved,
    Started,
    rl_lr_for,
    tuned_name,
)
from lab.training.posttraining.question_pairs import PairSource, QuestionPair, draw_stories
from lab.training.posttraining.sft_and_rl import fine_tune, reinforce, sft_steps
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


class PostTraining:
    """Runs once, and saves the models in the folder `where`. `log` is given the lines of the record as they come."""

    def __init__(
        self, base: Run, where: Path, settings: PosttrainSettings, log: Callable[[Line], None], poll: Callable[[], None]
    ) -> None:
        """`poll` raises where the end was asked for, as `log` does, and is called where there are no lines for long."""
        self._base, self._where, self._settings, self._log, self._poll = base, where, settings, log, poll
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

        def fits(pair: QuestionPair) -> bool:
            self._poll()
            return answerer.fits(pair)

        source = PairSource(settings.seed, fits)
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


def save_tuned_run(base: Run, name: str, where: Path, model: nn.Module, tuning: TuningConfig, train: TrainConfig) -> Run:
    """Write the model as a run of its own, in the folder `where`.

    It has the base's tokenizer and, where that has them, its tokens, so that Inspect finds the text. It is finished: its training
    cannot be resumed, since the questions are not in tokens.bin.

    Raises:
        UserError: if something has that name by now, or the system refuses.
    """
    config = RunConfig(
        name=name,
        created=time.time(),
        model=base.config.model,
        tokenizer=base.config.tokenizer,
        data=base.config.data,
        train=train,
        tuning=tuning,
    )
    steps = train.steps or 0
    status = Status(phase="finished", step=steps, steps=steps, best_step=steps, message=tuning_sentence(tuning))
    try:
        with unfinished_folder(where) as folder:
            run = Run(folder)
            write_atomic(run.tokenizer_path, read_regular(base.tokenizer_path, LARGEST_TOKENIZER))
            if base.tokens_path.is_file() and not base.tokens_path.is_symlink():
                # A second name of a file, or a copy where the file system has none. tokens.bin is never written to again.
                try:
                    os.link(base.tokens_path, run.tokens_path)
                except OSError:
                    shutil.copyfile(base.tokens_path, run.tokens_path, follow_symlinks=False)
            write_atomic(run.status_path, msgspec.json.encode(status))
            save_best(run, model, steps)
            return publish(run, config, name, "", where)
    except OSError as error:
        raise os_error_in_words(error, f"save {name} in {where}") from error


def weights_checksum(model: nn.Module) -> str:
    """SHA-256 of the model's weights, over their values in the order of their names."""
    found = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
