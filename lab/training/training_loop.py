"""The training loop: steps, evaluations, checkpoints and commands, so that being interrupted anywhere changes no number.

Nothing random is carried from step to step: batches follow from (seed, step), and so does dropout, whose generator is seeded
before every step. A checkpoint of step N is weights, optimizer state and N, and N + M steps are N, a resume, and M.

The update of a bad step (`lab.training.spike_detector`) is not applied. After `BAD_STEPS` of them in a row the weights of an
earlier, good step
are put back and training goes on from there at half the learning rate, with the batches that come next (Chowdhery et al. 2022,
"PaLM", section 5.1, skipped the batches around a spike, too). Steps count on, so that none is in the metrics twice. Which state
is gone back to depends, within `KEEP_EVERY` steps after a resume, on where it was resumed; once there is trouble, the state that
would be gone back to is part of the checkpoints.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from lab.core.atomic_io import is_full, os_error_in_words
from lab.core.errors import UserError
from lab.core.machine import cores
from lab.core.number_format import count
from lab.core.out_of_memory import free_memory, is_out_of_memory
from lab.core.uniform_baseline import uniform_baseline
from lab.data.data_order import TrainingBatches
from lab.data.text_provenance import change_of_text, check_tokens
from lab.data.token_file import TokenFile, token_dtype, token_lengths
from lab.planning.autotune import choose
from lab.planning.device import choose_device
from lab.planning.memory_estimate import check_memory
from lab.runs import snapshots, weights_file
from lab.runs.metrics_log import LineWriter, keep_lines_up_to
from lab.runs.run_folder import Run
from lab.runs.run_schema import Event, EventKind, FinalEvaluation, Insight, Metric, Sample
from lab.runs.run_tokenizer import tokenizer_of
from lab.runs.trainer_commands import Command
from lab.runs.weights_file import NotFiniteError
from lab.training import checkpoint
from lab.training.disk_full_retry import DiskFullRetry
from lab.training.evaluation import Evaluation, Evaluator, write_samples
from lab.training.gradient_accumulation import GradientAccumulator
from lab.training.gradient_accumulation import seed_of as seed_of
from lab.training.model_insights import Insights, Update
from lab.training.rollback import Rollback
from lab.training.run_length import RunLength
from lab.training.status_file import StatusBoard
from lab.training.stop_signals import Signals
from lab.training.trainer_inbox import POLL_SECONDS, EndAskedError, TrainerInbox
from lab.training.trainer_state import TrainerState
from lab.training.training_clock import BackOff, Clock, Speed
from models.gpt import GPT
from models.optimizer import make_optimizer, set_muon_dtype
from models.parameter_count import parameter_count
from models.sampling import LogitsError

SAVE_SECONDS = 15.0
"""Time between checkpoints: what a kill -9 may cost."""
SAVE_SHARE = 0.05
"""Share of the time that saving may take; a model whose checkpoint takes long is saved less often."""

BREAK_OFF_SECONDS = 2.0
"""An evaluation that takes longer is broken off when the end is asked for, and made again on resuming."""

BAD_STEPS = 3
"""Bad steps in a row, after which training goes back."""


class Training:
    """One run's training in this process, which owns the run."""

    def __init__(self, run: Run, board: StatusBoard, signals: Signals, note: str = "") -> None:
        """Loads data and model, and the last checkpoint if there is one. `note` is a sentence to be told at the start.

        Raises:
            UserError: if the device cannot be used, or a file of the run.
        """
        config = run.config
        self.run = run
        self.config = config
        self.board = board
        self.device = choose_device(config.train.device)
        torch.set_float32_matmul_precision("high")
        self.tokenizer = tokenizer_of(run)
        tokens = TokenFile(run.tokens_path, token_dtype(config.tokenizer.vocab_size))
        if len(tokens) != config.data.tokens:
            raise UserError(f"{run.tokens_path} holds {len(tokens)} tokens instead of {config.data.tokens}; start a new run.")
        check_tokens(run)
        self.batches = TrainingBatches(tokens, 0, config.data.split, config.model.context, config.train.batch, config.train.seed)
        check_memory(config.model, config.train.device)
        self.model = GPT(config.model, seed=config.train.seed).to(self.device)
        self.optimizer = make_optimizer(
            self.model,
            config.train.lr,
            config.train.weight_decay,
            (config.train.beta1, config.train.beta2),
            config.train.optimizer,
        )
        resumed = checkpoint.load_checkpoint(run, self.model, self.optimizer)
        self.state = resumed.state if resumed else self._first_state()
        self.back_off = self._compute_as_chosen()
        self.tokens = tokens
        self.evaluator = Evaluator(config, tokens, token_lengths(self.tokenizer))
        self.insights = Insights(config, tokens, self.tokenizer)
        parts = self.state.micro_batches or config.train.accumulate
        self.gradient = GradientAccumulator(self.model, self.batches, config.train.seed, self.device, self._arithmetic, parts)
        self.rescue = Rollback(run, self.model, self.optimizer, self.state, resumed.rollback_tensors if resumed else {})
        self.chance = uniform_baseline(config.model.vocab_size)
        notes = (resumed.note, change_of_text(config.data, config.created)) if resumed else ()
        self.note = " ".join(each for each in (note, *notes, self.rescue.rate_in_words()) if each)
        self.clock = Clock(self.state.seconds)
        self.speed = Speed(self.state.step_seconds)
        self.processor_seconds = time.process_time()
        self.course = RunLength(config.train, self.state, self.clock, self.speed)
        self.over = self.course.is_over()
        self.saved_step: int | None = self.state.step if resumed else None
        self.saved_at = time.monotonic()
        self.save_seconds = 0.0
        self.inbox = TrainerInbox(run.control_path, signals)
        self.patience = DiskFullRetry(board, self.clock, self.inbox)
        self._drop_what_comes_after(-1 if resumed is None else self.state.step)
        self.metrics = LineWriter(run.metrics_path)
        self.samples = LineWriter(run.samples_path)
        self.insight_lines = LineWriter(run.insights_path)
        self.events = LineWriter(run.events_path)
        if resumed is None:
            self.state.pending = Metric(step=0, tokens=0, epoch=0.0, seconds=0.0)
        board.update(
            step=self.state.step,
            seconds=self.state.seconds,
            device=str(self.device),
            precision=self.state.precision,
            threads=self.back_off.threads,
            computed=self._computed(),
            best_val_loss=self.state.best_val_loss,
            best_step=self.state.best_step,
            eval_tokens=self.evaluator.tokens,
            eval_bytes=self.evaluator.bytes,
        )

    def _first_state(self) -> TrainerState:
        chosen = choose(self.config.model, self.config.train, self.device, self.run.path.parent)
        return TrainerState(precision=chosen.precision, attention=chosen.attention, threads=chosen.threads, computed=chosen.why)

    def _compute_as_chosen(self) -> BackOff:
        """Sets up torch as the state says. Threads that the user asked for are not given up while others want the cores."""
        self.model.set_attention_kernel(self.state.attention)
        set_muon_dtype(self.optimizer, torch.bfloat16 if self.state.precision == "bf16" else torch.float32)
        threads = self.config.train.threads or self.state.threads or cores()
        now = threads if self.config.train.threads else self.state.threads_now or threads
        torch.set_num_threads(now)
        return BackOff(1 if self.config.train.threads else threads, now)

    def _computed(self) -> str:
        fewer = self.back_off.threads < self.back_off.most
        return self.state.computed + f", now {self.back_off.threads}, since others keep the cores busy" * fewer

    def _watch_the_pace(self) -> None:
        """After a step: fewer threads while others keep the cores busy."""
        used, self.processor_seconds = time.process_time() - self.processor_seconds, time.process_time()
        before, threads = self.back_off.threads, self.back_off.after(self.speed.step_seconds, used)
        if threads != before:
            torch.set_num_threads(threads)
            self.state.threads_now = threads
            self.board.update(threads=threads, computed=self._computed())

    def train(self) -> None:
        """Trains to the end, or until a command or a signal ends it.

        Raises:
            UserError: if it cannot go on, with the reason.
        """
        self.board.update("training", message=self.note)
        try:
            if self.saved_step is not None:
                self._mark("resume", self.note)
            if self.state.pending is not None:
                self._close_step()
            while not self.over:
                self._obey()
                self._take_step()
                self._close_step()
            if self.saved_step != self.state.step:
                self._save()
            self._evaluate_at_the_end()
            self.board.update("finished", message=self.course.early_stop_in_words() or self.rescue.rate_in_words())
        except EndAskedError as asked:
            self._end(asked)
        except NotFiniteError as error:
            raise UserError(self.rescue.failure_message(f"{error} holds values that are no numbers")) from error
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise UserError(self._out_of_memory()) from error
            raise
        finally:
            self.board.update(seconds=self.clock.seconds())

    def _take_step(self) -> None:
        """One update of the weights, unless the step is bad."""
        train, state = self.config.train, self.state
        step = state.step
        started = time.perf_counter()
        rate = self.course.rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        parts, losses = self.gradient.parts, state.spike_detector.losses
        loss = self.gradient.compute(step)
        update = Update(self.model) if self.course.is_evaluated(step + 1) else None
        grad_norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), train.clip))
        bad = state.spike_detector.is_bad(loss, grad_norm, self.chance)
        if not bad:
            self.rescue.keep_if_due(losses)
            self.optimizer.step()
        state.pending_updates = update.done() if update is not None and not bad else []
        tokens = train.batch * self.config.model.context
        self.speed.add(tokens, time.perf_counter() - started)
        self._watch_the_pace()
        state.step = step = step + 1
        self.state.pending = Metric(
            step=step,
            tokens=step * tokens,
            epoch=round(self.batches.epoch(step), 5),
            seconds=0.0,
            loss=finite(loss, 5),
            lr=float(f"{rate:.6g}"),
            grad_norm=finite(grad_norm, 5),
            tokens_per_second=round(self.speed.per_second(), 1),
        )
        if self.gradient.parts != parts:
            self._tell_of_parts()
        if bad:
            said = f"a loss of {loss:.2f}" if math.isfinite(loss) and math.isfinite(grad_norm) else "a loss that is no number"
            self._mark("bad_step", f"Step {step} had {said}, so its update was not applied.")
        if state.spike_detector.bad == BAD_STEPS:
            self._go_back(f"the loss was no number or far outside its usual spread for {BAD_STEPS} steps in a row")

    def _go_back(self, why: str) -> None:
        said = self.rescue.go_back(why)
        self._mark("back", said)
        self.board.update(message=said)

    def _tell_of_parts(self) -> None:
        self.state.micro_batches = self.gradient.parts
        batch, windows = self.config.train.batch, self.gradient.windows
        said = (
            f"A step of {batch} windows did not fit into memory; since step {self.state.step} it is computed in "
            f"{self.state.micro_batches} parts of {windows} window{'s' if windows > 1 else ''}, "
        )
        said += (
            "which draw other dropout masks than the whole would."
            if self.config.model.dropout
            else "with the same result but for rounding."
        )
        self._mark("micro_batch", said)
        self.board.update(message=said)

    def _close_step(self) -> None:
        """What follows a step: evaluation where it is due, its line in metrics.jsonl, and whatever is saved now.

        An end that is asked for during a long evaluation leaves the step's line pending, in the checkpoint.
        """
        metric = self.state.pending
        assert metric is not None
        step, train = metric.step, self.config.train
        self.over = self.course.is_over()
        evaluated = self.over or self.course.is_evaluated(step)
        if evaluated:
            found = self._evaluate()
            metric.val_loss, metric.bits_per_byte = finite(found.val_loss, 6), finite(found.bits_per_byte, 6)
        metric.seconds = round(self.clock.seconds(), 3)
        self._write("write the metrics", lambda: self.metrics.write(metric))
        self.state.pending = None
        self.board.update(step=step, seconds=self.clock.seconds())
        if evaluated:
            insight = self.insights.measure(self.model, step, self.state.pending_updates)
            self._write("write what was measured", lambda: self.insight_lines.write(insight))
            self._write_samples(train.prompts)
            self._keep_if_best(metric)
            self.over = self.course.is_over()
        if self.course.is_snapshot(step, over=self.over):
            self._write_weights("keep a snapshot", lambda: snapshots.save_snapshot(self.run, self.model, step))
        interval = max(SAVE_SECONDS, self.save_seconds / SAVE_SHARE)
        if step == 0 or (time.monotonic() - self.saved_at > interval and not self.state.spike_detector.bad):
            self._save()

    def _evaluate(self) -> Evaluation:
        started = time.monotonic()
        return self._evaluate_with(self.evaluator, self.model, lambda: self._break_off(started))

    def _evaluate_with(self, evaluator: Evaluator, model: GPT, between: Callable[[], None]) -> Evaluation:
        """On fewer windows at once where memory does not suffice for more."""
        while True:
            try:
                return evaluator.evaluate(model, between)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not evaluator.take_fewer_at_once():
                    raise
            free_memory(self.device)

    def _evaluate_at_the_end(self) -> None:
        """The last and the best weights, on all of the validation part or a large sample of it.

        Everything else is saved by now and stays as it is: being interrupted costs this evaluation alone, made anew on resuming.
        """
        self.clock.stop()
        self.model.zero_grad(set_to_none=True)
        evaluator = Evaluator(self.config, self.tokens, token_lengths(self.tokenizer), final=True)
        share = "all" if evaluator.bytes == self.config.data.val_bytes else "a large sample"
        self.board.update(message=f"Training is done; the weights are evaluated on {share} of the validation part.")
        last = best = self._final(evaluator, self.model, self.state.step)
        if self.state.best_step not in (None, self.state.step):
            model, step = weights_file.load_model(self.run, "best", str(self.device))
            model.set_attention_kernel(self.state.attention)
            best = self._final(evaluator, model, step)
        self.board.update(final=last, final_best=best)

    def _final(self, evaluator: Evaluator, model: GPT, step: int) -> FinalEvaluation:
        found = self._evaluate_with(evaluator, model, self._obey)
        loss, bits = finite(found.val_loss, 6), finite(found.bits_per_byte, 6)
        return FinalEvaluation(step=step, tokens=evaluator.tokens, bytes=evaluator.bytes, val_loss=loss, bits_per_byte=bits)

    def _break_off(self, started: float) -> None:
        if time.monotonic() - started > BREAK_OFF_SECONDS:
            self.inbox.poll()

    def _keep_if_best(self, metric: Metric) -> None:
        value = metric.val_loss
        if metric.step == 0:
            return
        if value is None or (self.state.best_val_loss is not None and value >= self.state.best_val_loss):
            self.state.evals_without_improvement += 1
            if self.course.is_stopped_early():
                self._mark("early_stop", self.course.early_stop_in_words())
            return
        if not self._write_weights(
            "keep the best weights", lambda: weights_file.save_best(self.run, self.model, metric.step, value)
        ):
            return
        self.state.best_val_loss, self.state.best_step, self.state.evals_without_improvement = value, metric.step, 0
        self.board.update(best_val_loss=value, best_step=metric.step)
        self._mark("best")

    def _write_samples(self, prompts: tuple[str, ...]) -> None:
        try:
            for sample in write_samples(self.model, self.tokenizer, self.config, self.state.step, prompts):
                self._write("write a sample", lambda line=sample: self.samples.write(line))  # type: ignore[misc]
        except LogitsError:
            return  # the loss tells of it

    def _obey(self) -> None:
        """Does what control/ asks for.

        Raises:
            EndAskedError: if that is to end.
        """
        while command := self.inbox.next():
            if command.name == "pause":
                self._pause()
            else:
                self._serve(command)

    def _serve(self, command: Command) -> None:
        if command.name == "save":
            self._save()
        elif command.name == "sample":
            self._write_samples((command.text,) if command.text else self.config.train.prompts)

    def _pause(self) -> None:
        """Saves, and stands still until the command to resume."""
        self._save()
        self.clock.stop()
        self._mark("pause")
        self.board.update("paused", message="", seconds=self.clock.seconds())
        while (command := self.inbox.next()) is None or command.name != "resume":
            if command is None:
                time.sleep(POLL_SECONDS)
            else:
                self._serve(command)
        self.clock.go()
        self.board.update("training", message=self.rescue.rate_in_words())
        self._mark("resume")

    def _save(self) -> None:
        self._save_when_there_is_room()
        self._mark("checkpoint")

    def _save_when_there_is_room(self) -> None:
        if not self._write_weights("save a checkpoint", self._save_once):
            self._write("save a checkpoint", self._save_once)

    def _write_weights(self, what: str, action: Callable[[], None]) -> bool:
        """Writes what holds weights; where they are no numbers, nothing is written, and training goes back."""
        try:
            self._write(what, action)
        except NotFiniteError as error:
            self._go_back(f"{error} held values that are no numbers")
            return False
        return True

    def _write(self, what: str, action: Callable[[], None]) -> None:
        if message := self.patience.do(what, action, self._last_saved()):
            self._mark("pause", message)
            self._mark("resume")

    def _mark(self, kind: EventKind, text: str = "") -> None:
        """A line in events.jsonl."""
        event = Event(step=self.state.step, seconds=round(self.clock.seconds(), 3), kind=kind, text=text)
        self._write("write what happened", lambda: self.events.write(event))

    def _save_once(self) -> None:
        started = time.monotonic()
        self.state.seconds, self.state.step_seconds = self.clock.seconds(), self.speed.step_seconds
        self.metrics.sync()
        self.samples.sync()
        self.insight_lines.sync()
        checkpoint.save_checkpoint(self.run, self.model, self.optimizer, self.state, self.rescue.to_save())
        self.saved_step = self.state.step
        self.saved_at = time.monotonic()
        self.save_seconds = self.saved_at - started

    def _end(self, asked: EndAskedError) -> None:
        message = "" if asked.by == "stop" else f"Ended by {asked.by}."
        step = self.state.step
        try:
            if asked.save and self.saved_step != step:
                self._save_when_there_is_room()
        except EndAskedError:
            asked.save = False
        if not asked.save:
            message = f"Ended on a full disk at step {step}; what was not saved was discarded, as asked. {self._last_saved()}"
            step = self.saved_step or 0
        try:
            self.events.write(Event(step=step, seconds=round(self.clock.seconds(), 3), kind="stop", text=message))
        except OSError as error:
            if not is_full(error):
                raise os_error_in_words(error, "write what happened") from error
        self.board.update("stopped", message=message, step=step, no_room=False, stopping=False)

    def _last_saved(self) -> str:
        return (
            "Nothing is saved yet." if self.saved_step is None else f"The last checkpoint, of step {self.saved_step}, is whole."
        )

    def _out_of_memory(self) -> str:
        parameters = count(parameter_count(self.config.model))
        return (
            f"There is not enough memory for the weights and the optimizer of {parameters} parameters beside what else uses it; "
            f"close other programs and resume, or start a new run with a smaller model. {self._last_saved()}"
        )

    def _drop_what_comes_after(self, step: int) -> None:
        """Removes what an interrupted trainer had written beyond its last checkpoint; it will be written again, the same."""
        try:
            keep_lines_up_to(self.run.metrics_path, Metric, step)
            keep_lines_up_to(self.run.samples_path, Sample, step)
            keep_lines_up_to(self.run.events_path, Event, step)
            keep_lines_up_to(self.run.insights_path, Insight, step)
            snapshots.drop_snapshots_after(self.run, step)
        except OSError as error:
            raise os_error_in_words(error, f"go on with {self.run.name}") from error

    def _arithmetic(self) -> AbstractContextManager[None]:
        if self.state.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


def finite(value: float, digits: int) -> float | None:
    """Rounded to so many decimal places; None for what is no number, which JSON cannot write."""
    return round(value, digits) if math.isfinite(value) else None
