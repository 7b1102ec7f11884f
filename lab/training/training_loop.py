"""The training loop: steps, evaluations, checkpoints and commands, so that an interruption at any point changes no number.

Nothing random is carried from step to step: batches follow from (seed, step), and so does dropout, whose generator is seeded
before every step. A checkpoint of step N is weights, optimizer state and N, and N + M steps are N, a resume, and M: exactly on a
CPU, and to rounding on a GPU, whose kernels for attention's backward pass add up in no fixed order.

The update of a bad step (`lab.training.trainer_state`) is not applied. After `BAD_STEPS` of them in a row the weights of an
earlier, good step are restored (`lab.training.rollback`) and training continues from there at half the learning rate, with
the batches that come next (as Chowdhery et al. 2022, "PaLM", section 5.1). Step numbers continue. Which state is restored
depends, within `KEEP_STATE_EVERY` steps after a resume, on where the run was resumed; amid bad steps that state is part of the
checkpoints.
"""

import math
import shlex
import time
from contextlib import suppress

from lab.core.errors import UserError, is_out_of_memory
from lab.data.token_file import token_lengths
from lab.runs.run_control import Command
from lab.runs.run_folder import Run
from lab.runs.run_schema import FinalEvaluation, Metric
from lab.runs.weights_file import NotFiniteError
from lab.training.checkpoint_schedule import CheckpointSchedule
from lab.training.command_inbox import POLL_SECONDS, CommandInbox, StopRequestedError
from lab.training.compute_setup import ComputeSetup, meter_of
from lab.training.distributed.one_rank import OneRank, RankLostError
from lab.training.evaluation import Evaluator, evaluate_final_weights, full_precision, write_samples
from lab.training.gradient_accumulation import GradientAccumulator, prepare_steps
from lab.training.loss_scaling import LossScaler
from lab.training.model_insights import ModelInsights, UpdateNorms
from lab.training.rollback import Rollback
from lab.training.run_length import Clock, RunLength, Throughput, is_evaluation_due
from lab.training.run_logs import RunLogs, finite_or_none, truncate_logs
from lab.training.status_file import StatusBoard
from lab.training.stop_signals import StopSignals
from lab.training.training_setup import out_of_memory_message, set_up_training
from lab.training.weight_average import WeightAverage
from models.sampling import LogitsError

CANCEL_SECONDS = 2.0
"""An evaluation that takes longer is cancelled by a stop request, and made again on resuming."""

BAD_STEPS = 3
"""Bad steps in a row, after which training is rolled back."""


class Training:
    """Training of one run in this process, which owns the run."""

    def __init__(self, run: Run, board: StatusBoard, signals: StopSignals, note: str = "", ranks: OneRank | None = None) -> None:
        """Load data and model, and the last checkpoint if there is one. `note` is a sentence to be told at the start.

        Raises:
            UserError: if the device cannot be used, or a file of the run.
        """
        self.run, self.config, self.board = run, run.config, board
        self.ranks = ranks or OneRank()
        self.setup = setup = set_up_training(run, self.ranks)
        self.model, self.optimizer, self.state = setup.trained.model, setup.trained.optimizer, setup.state
        self.compute = ComputeSetup(self.config.train, self.state, setup.device, self.ranks.local_count)
        self.scaler = LossScaler(self.state, self.model, self.optimizer)
        self.gradient = GradientAccumulator(setup.trained, setup.batches, self.state, self.compute.autocast, self.ranks)
        self.gradient.report_fall_back = lambda message: self.logs.report("computing", message, computed=self.compute.describe())
        self.average = WeightAverage(setup.trained)
        self.evaluator = Evaluator(self.config, setup.tokens, token_lengths(setup.tokenizer))
        self.insights = ModelInsights(self.config, setup.tokens, setup.tokenizer)
        self.uniform_loss = setup.trained.loss_of_uniform(self.config)
        self.clock = Clock(self.state.seconds)
        self.throughput = Throughput(self.state.step_seconds)
        self.length = RunLength(self.config, self.state, self.clock, self.throughput)
        self.over = self.length.is_over()
        self.inbox = CommandInbox(run.control_path, signals)
        saved_step = self.state.step if setup.loaded else None
        truncate_logs(run, -1 if saved_step is None else saved_step)
        self.logs = RunLogs(run, self.state, self.clock, board, self.inbox, saved_step)
        self.rollback = Rollback(setup, self._report_rollback)
        self.saver = CheckpointSchedule(setup, self.average, self.rollback, self.logs, self.length)
        prepare_steps(setup, self.gradient, self.clock, self.logs, alone=self.ranks.count == 1)
        self.gpu_meter = meter_of(setup.device, self.config.model, self.state.precision)
        self.note = " ".join(each for each in (note, *setup.notes(), self.rollback.lr_message()) if each)
        self.board.update(
            step=self.state.step,
            seconds=self.state.seconds,
            device=str(self.setup.device),
            precision=self.state.precision,
            threads=self.compute.threads,
            computed=self.compute.describe(),
            best_val_loss=self.state.best_val_loss,
            best_step=self.state.best_step,
            eval_tokens=self.evaluator.tokens,
            eval_bytes=self.evaluator.bytes,
        )

    def train(self) -> None:
        """Train to the end, or until a command or a signal ends it. Raises UserError if it cannot continue, with the reason."""
        self.board.update("training", message=self.note)
        try:
            if self.setup.loaded:
                self.logs.event("resume", self.note)
            elif self.note:
                self.logs.event("computing", self.note)
            if self.state.pending is not None:
                self._close_step()
            while not self.over:
                self._handle_commands()
                self._take_step()
                self._close_step()
            if not self.saver.is_saved():
                self.saver.save()
            self.clock.stop()
            self.model.zero_grad(set_to_none=True)
            with self.average.shown():
                evaluate_final_weights(self.setup, self.board, self._handle_commands)
            message = self.length.end_message()
            self.board.update("finished", message=message or self.rollback.lr_message())
        except StopRequestedError as request:
            self._stop(request)
        except RankLostError as lost:
            raise UserError(self._end_without(lost)) from lost
        except NotFiniteError as error:
            raise UserError(self.rollback.failure_message(f"{error} holds NaN or infinity")) from error
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise UserError(f"{out_of_memory_message(self.config)} {self.logs.last_saved()}") from error
            raise
        finally:
            self.board.update(seconds=self.clock.seconds())

    def _take_step(self) -> None:
        """Update the weights, unless the step is bad."""
        train, state = self.config.train, self.state
        step = state.step
        self.clock.start()
        started = time.perf_counter()
        lr = self.length.lr
        self.setup.trained.set_lr(lr)
        micro_batches, losses = self.gradient.micro_batches, state.spike_detector.losses
        loss = self.gradient.compute(step, lr)
        self.scaler.unscale()
        norms = UpdateNorms(self.model) if is_evaluation_due(train, step + 1) else None
        grad_norm = float(self.setup.trained.clip_gradients())
        overflow = self.scaler.is_overflow(loss, grad_norm)
        bad = state.spike_detector.is_bad(loss, 0.0 if overflow else grad_norm, self.uniform_loss)
        applied = not bad and not overflow
        self.ranks.update(apply=applied)
        if applied:
            if self.rollback.keep_if_due(losses):
                self.ranks.make_retryable()
            self.optimizer.step()
            self.average.update(step + 1)
        updates = norms.after_step() if norms is not None and applied else []
        tokens = train.batch * self.config.model.context
        self.throughput.add(tokens, time.perf_counter() - started)
        if self.compute.adjust_threads(self.throughput.step_seconds):
            self.board.update(threads=self.compute.threads, computed=self.compute.describe())
        step += 1
        metric = Metric(
            step=step,
            tokens=step * tokens,
            epoch=round(self.setup.batches.epoch(step), 5),
            seconds=0.0,
            loss=finite_or_none(loss, 5),
            lr=float(f"{lr:.6g}"),
            grad_norm=finite_or_none(grad_norm, 5),
            tokens_per_second=round(self.throughput.per_second(), 1),
        )
        state.step, state.pending, state.pending_updates = step, metric, updates  # still without an evaluation
        if message := self.scaler.end_step(skipped=overflow, applied=applied):
            self.logs.event("computing", message)
        if overflow:
            self.board.update(computed=self.compute.describe())
        if self.gradient.micro_batches != micro_batches:
            state.micro_batches = self.gradient.micro_batches
            self.logs.report("micro_batch", self.gradient.split_message(step))
        if bad:
            what = f"a loss of {loss:.2f}" if math.isfinite(loss) and math.isfinite(grad_norm) else "a loss of NaN or infinity"
            self.logs.event("bad_step", f"Step {step} had {what}, so its update was not applied.")
        if state.spike_detector.bad == BAD_STEPS:
            self.rollback.roll_back(f"the loss was NaN, infinite or far outside its usual spread for {BAD_STEPS} steps in a row")

    def _report_rollback(self, message: str) -> None:
        self.ranks.share_state(self.model, self.optimizer, self.state)
        self.logs.report("back", message)

    def _close_step(self) -> None:
        """Finish a step: evaluate if that is due, write its line in metrics.jsonl, and save what is due.

        A stop request during a long evaluation leaves the step's line pending, in the checkpoint.
        """
        if self.config.train.minutes_of_steps:
            self.clock.stop()
        metric = self.state.pending
        assert metric is not None
        step, train = metric.step, self.config.train
        self.over = self.length.is_over()
        evaluated = self.over or is_evaluation_due(train, step)
        if evaluated:
            with self.average.shown():
                found = self._evaluate(step)
            metric.val_loss, metric.bits_per_byte = found.val_loss, found.bits_per_byte
        metric.seconds = round(self.clock.seconds(), 3)
        self.logs.add(metric)
        self.state.pending = None
        self.board.update(step=step, seconds=self.clock.seconds())
        if use := self.gpu_meter.measure(self.throughput.per_second() / self.ranks.count):
            self.board.update(gpu=use)
        if evaluated:
            with self.average.shown():
                with full_precision():
                    insight = self.insights.measure(self.model, step, self.state.pending_updates)
                self.logs.add(insight)
                self._write_samples(train.prompts)
            if self.saver.save_if_best(step, metric.val_loss):
                self.board.update(best_val_loss=metric.val_loss, best_step=step)
            elif message := self.length.early_stop_message():
                self.logs.event("early_stop", message)
            self.over = self.length.is_over()
        self.saver.save_snapshot_if_due(step, over=self.over)
        if self.saver.is_due(step):
            self.saver.save()

    def _evaluate(self, step: int) -> FinalEvaluation:
        started = time.monotonic()

        def cancel() -> None:
            if time.monotonic() - started > CANCEL_SECONDS:
                self.inbox.poll()

        return self.evaluator.evaluate(self.model, step, cancel)

    def _write_samples(self, prompts: tuple[str, ...]) -> None:
        with full_precision(), suppress(LogitsError):  # the model's output is NaN, as the loss shows
            for sample in write_samples(self.model, self.setup.tokenizer, self.config, self.state.step, prompts):
                self.logs.add(sample)

    def _handle_commands(self) -> None:
        """Carry out the commands in control/. Raises StopRequestedError if one asks for the end."""
        while command := self.inbox.next():
            with self.average.shown(is_shown=False):
                if command.name == "pause":
                    self._pause()
                else:
                    self._handle(command)

    def _handle(self, command: Command) -> None:
        if command.name == "save":
            self.saver.save()
        elif command.name == "sample":
            with self.average.shown():
                self._write_samples((command.text,) if command.text else self.config.train.prompts)

    def _pause(self) -> None:
        """Save, and wait for the command to resume."""
        self.saver.save()
        self.clock.stop()
        self.logs.event("pause")
        self.board.update("paused", message="", seconds=self.clock.seconds())
        while (command := self.inbox.next()) is None or command.name != "resume":
            if command is None:
                time.sleep(POLL_SECONDS)
            else:
                self._handle(command)
        self.clock.start()
        self.board.update("training", message=self.rollback.lr_message())
        self.logs.event("resume")

    def _stop(self, request: StopRequestedError) -> None:
        message = "" if request.by == "stop" else f"Ended by {request.by}."
        step = self.state.step
        try:
            if request.save and not self.saver.is_saved():
                self.saver.save_silently()
        except StopRequestedError:
            request.save = False
        except RankLostError as error:
            raise UserError(self._end_without(error)) from error
        if lost := self.ranks.lost():  # the launcher then ends all ranks by a signal
            raise UserError(f"{lost} {self._how_to_go_on()}")
        if not request.save:
            saved = self.logs.last_saved()
            message = f"Ended on a full disk at step {step}; what was not saved was discarded, as asked. {saved}"
            step = self.logs.saved_step or 0
        self.logs.last_event(message, step)
        self.board.update("stopped", message=message, step=step, no_room=False, stopping=False)

    def _end_without(self, lost: RankLostError) -> str:
        """Save what rank 0 has, and return the reason for the end."""
        if lost.can_save and not self.saver.is_saved():
            with suppress(StopRequestedError):  # on a full disk the user says to discard it
                self.saver.save_silently()
        return f"{lost} {self._how_to_go_on()}"

    def _how_to_go_on(self) -> str:
        return f"{self.logs.last_saved()} `llmlab resume {shlex.quote(self.run.name)}` goes on."
