"""Too early to judge: warm-up, a recent rollback, too few steps."""

from lab.core.number_format import fixed, significant, whole
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun
from lab.reports.diagnosis.loss_wording import ordinal, rollbacks_in_words, short_lr
from lab.reports.diagnosis.thresholds import FEWEST_STEPS
from lab.reports.diagnosis.verdicts import Diagnosis
from lab.runs.run_folder import ACTIVE

MORE_STEPS = "A run with more steps would tell more."


def warming_up(run: DiagnosedRun) -> Diagnosis | None:
    last, train = run.history.last_training, run.config.train
    if last is None or last.lr is None:
        return None
    if train.steps is not None:
        end = train.warmup * train.steps
        over, until = last.step >= end, f"until step {whole(round(end))}"
    else:
        end = train.warmup * (train.minutes or 0.0) * 60
        over, until = last.seconds >= end, f"over the first {end:.0f} seconds"
    if over:
        return None
    halved = f" ({train.lr:g} was set; {rollbacks_in_words(len(run.rollbacks))})" if run.rollbacks else ""
    if run.phase not in ACTIVE:
        evidence = (
            f"the run ended at step {whole(last.step)} with a learning rate of {significant(last.lr, 2)}, which was to rise to "
            f"{short_lr(run.peak_lr)} {until}{halved}."
        )
        return Diagnosis("too early to tell", evidence, "The loss says little before then.")
    evidence = (
        f"at step {whole(last.step)} the learning rate is {significant(last.lr, 2)} and rises to {short_lr(run.peak_lr)} "
        f"{until}{halved}."
    )
    return Diagnosis("warming up", evidence, "The loss says little before then.")


def rolled_back(run: DiagnosedRun) -> Diagnosis | None:
    if not run.rollbacks or run.last_step - run.start >= FEWEST_STEPS:
        return None
    evidence = (
        f"at step {whole(run.start)} the trainer rolled back to earlier weights and halved the learning rate, for the "
        f"{ordinal(len(run.rollbacks))} time: {run.config.train.lr:g} was set, and its peak is now "
        f"{significant(run.peak_lr, 2)}."
    )
    return Diagnosis("rolled back", evidence, f"The loss says little in the first {FEWEST_STEPS} steps after that.")


def too_early(run: DiagnosedRun) -> Diagnosis | None:
    if len(run.steps) and run.steps[-1] - run.start >= FEWEST_STEPS:
        return None
    taken = run.last_step - run.start
    loss = f" with a training loss of {fixed(run.loss, 2)} nats per token" if len(run.steps) else ""
    steps = f"{whole(taken)} step{'s' if taken > 1 else ''}"
    if run.phase == "finished":
        return Diagnosis("too short to say", f"{steps}{loss}.", MORE_STEPS)
    return Diagnosis("too early to tell", f"{steps} so far{loss}.")
