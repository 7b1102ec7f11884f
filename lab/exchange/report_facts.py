"""Facts of a run for its report: its text, its settings, its results, and its samples over time."""

import time
from collections.abc import Sequence

from lab.core.number_format import MINUS, bytes_, count, counted, duration, fixed, probability, significant, whole
from lab.core.visible_text import shortened, visible
from lab.data.statistics.copied_share import describe_copied
from lab.runs.evaluation_coverage import at_the_end, during_training
from lab.runs.loss_history import LossHistory
from lab.runs.origin import CopiedShare
from lab.runs.run_schema import DataConfig, RunConfig, Sample, Status
from lab.runs.run_summary import origin_of, planned_length
from models.parameter_count import parameter_count

Fact = tuple[str, str]

MOST_SAMPLES = 12
"""Samples shown of each prompt: the first, the last, and those between at even distances."""
MOST_SAMPLE_CHARACTERS = 1500
MOST_PROMPTS = 5


def shown(text: str, most: int = 300) -> str:
    """Text from outside on one line, every odd character visible."""
    return visible(shortened(text, most))


def text_facts(config: RunConfig, copied: CopiedShare | None = None) -> list[Fact]:
    """Facts of the training text, in a run from before with the `copied` share that was measured since.

    Its path is left out: a report is shown to others.
    """
    data, tokenizer = config.data, config.tokenizer
    if not config.has_text:
        return [
            ("origin", shown(origin_of(config))),
            ("text", "not in this lab: the model was trained elsewhere"),
            ("tokenizer", f"{tokenizer.kind}, {whole(tokenizer.vocab_size)} tokens"),
        ]
    between = ", an end-of-text token between each two" if data.documents > 1 else ""
    documents = f"{whole(data.documents)}{between}{f'; left out: {shown(data.left_out)}' if data.left_out else ''}"
    facts = [
        *([("origin", shown(origin_of(config)))] if origin_of(config) else []),
        ("text", shown(data.name)),
        ("size", f"{bytes_(data.bytes)}, {whole(data.characters)} characters"),
        *([("documents", documents)] if data.documents > 1 or data.left_out else []),
        ("encoding", shown(data.encoding)),
        ("cleaning", describe_cleaning(data)),
        ("tokenizer", f"{tokenizer.kind}, {whole(tokenizer.vocab_size)} tokens"),
        (
            "tokens",
            f"{whole(data.tokens)} ({fixed((data.train_bytes + data.val_bytes) / max(1, data.tokens), 2)} bytes per token)",
        ),
        ("training part", f"{whole(data.split)} tokens"),
        ("validation part", f"{whole(data.tokens - data.split)} tokens: {data.holdout.in_words}"),
    ]
    if copied := data.copied or copied:
        facts.append(("validation", describe_copied(copied)))
    if data.entropy_bits_per_byte is not None:
        facts.append(("source entropy", f"{fixed(data.entropy_bits_per_byte)} bits/byte: no model can stay below it on new text"))
    if data.sha256:
        facts.append(("SHA-256", shown(data.sha256, 80)))
    return facts


def describe_cleaning(data: DataConfig) -> str:
    """The cleaning rules, and how much each took or added: `line-endings, boilerplate (−812 B), emails (+6 B)`."""
    changes = {step.rule: step.bytes_out - step.bytes_in for step in data.funnel}
    signs = {rule: f" ({MINUS if change < 0 else '+'}{bytes_(abs(change))})" for rule, change in changes.items() if change}
    words = [f"{rule}{signs.get(rule, '')}" for rule in data.cleaning]
    return shown(", ".join(words), 1000) or "none"


def model_facts(config: RunConfig) -> list[Fact]:
    """The architecture of the model."""
    model = config.model
    return [
        ("parameters", f"{count(parameter_count(model))} ({whole(parameter_count(model))})"),
        ("layers", whole(model.layers)),
        ("heads", f"{whole(model.heads)} in each layer, {whole(model.head_width)} wide"),
        ("width", whole(model.width)),
        ("context", f"{whole(model.context)} tokens"),
        ("dropout", f"{model.dropout:g}"),
    ]


def training_facts(config: RunConfig) -> list[Fact]:
    """The settings of training."""
    train = config.train
    if config.imported is not None:
        return [("training", "elsewhere: its settings are not known here")]
    return [
        ("length", planned_length(config)),
        ("batch", f"{whole(train.batch)} windows, {whole(train.batch * config.model.context)} tokens"),
        *[("micro-batches", f"{whole(train.accumulate)} a step")] * (train.accumulate > 1),
        ("optimizer", train.optimizer),
        ("learning rate", f"{train.lr:g}, {train.schedule}"),
        ("warmup", f"the first {probability(train.warmup)} of the run"),
        ("last learning rate", f"{train.final_lr:g} × the peak"),
        ("weight decay", f"{train.weight_decay:g}"),
        ("β₁, β₂", f"{train.beta1:g}, {train.beta2:g}"),
        ("gradient clipping", f"{train.clip:g}"),
        ("seed", str(train.seed)),
        ("evaluated every", f"{whole(train.eval_every)} steps, and at the end"),
        *[("patience", counted(train.patience or 0, "evaluation"))] * (train.patience is not None),
    ]


def result_facts(config: RunConfig, status: Status, phase: str, history: LossHistory) -> list[Fact]:
    """The state of the run and its best losses."""
    if config.imported is not None:
        return [("imported", time.strftime("%Y-%m-%d", time.gmtime(config.created)))]
    step = max(status.step, history.latest.step if history.latest else 0)
    facts = [
        ("state", f"{phase}, step {whole(step)}"),
        ("made", time.strftime("%Y-%m-%d", time.gmtime(config.created))),
        ("time training", duration(status.seconds)),
    ]
    if status.device:
        facts.append(("device", shown(f"{status.device} {status.precision}".strip())))
    if history.last_training and history.last_training.loss is not None and history.smooth:
        facts.append(("training loss", f"{fixed(history.smooth[-1])} nats/token, running mean"))
    best = history.best_evaluation
    if best is not None and best.val_loss is not None:
        bits = f", {fixed(best.bits_per_byte)} bits/byte" if best.bits_per_byte is not None else ""
        part = during_training(config.data, status)
        on = f", on {part.in_words} of validation text" if part is not None else ""
        facts.append(("best validation loss", f"{fixed(best.val_loss)} nats/token{bits}, at step {whole(best.step)}{on}"))
    final = status.final
    if final is not None and final.val_loss is not None:
        bits = f", {fixed(final.bits_per_byte)} bits/byte" if final.bits_per_byte is not None else ""
        on = f"on {at_the_end(config.data, final).in_words} of validation text"
        facts.append(("validation loss at the end", f"{fixed(final.val_loss)} nats/token{bits}, {on}"))
    if history.last_training and history.last_training.grad_norm is not None:
        facts.append(("gradient norm", significant(history.last_training.grad_norm)))
    return facts


def samples_over_time(samples: Sequence[Sample]) -> list[tuple[str, list[tuple[str, str]], int]]:
    """Each prompt with a few of its samples in order, step and text, and the number of all."""
    by_prompt: dict[str, list[Sample]] = {}
    for sample in samples:
        by_prompt.setdefault(sample.prompt, []).append(sample)
    found = []
    for prompt, all_of_it in list(by_prompt.items())[:MOST_PROMPTS]:
        last = len(all_of_it) - 1
        places = sorted({round(index * last / (MOST_SAMPLES - 1)) for index in range(MOST_SAMPLES)})
        chosen = [all_of_it[place] for place in places] if last >= MOST_SAMPLES else all_of_it
        texts = [(whole(each.step), visible(shortened(each.text, MOST_SAMPLE_CHARACTERS), keep="\n")) for each in chosen]
        found.append((visible(shortened(prompt, 300), keep="\n"), texts, len(all_of_it)))
    return found
