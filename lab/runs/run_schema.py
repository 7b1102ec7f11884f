"""Schema of a run's files: config.json, status.json, metrics.jsonl, samples.jsonl, events.jsonl and insights.jsonl.

A run folder is input, not truth, so every number and string has a bound here, checked before anything is computed from it.
Nothing here needs torch; the screens read runs with these types alone.
"""

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from lab.core.limits import LIMITS, MEASURED_PLACES, PLACE_TOKENS, TOP_TOKENS, Limit
from lab.runs.expected_loss_range import ExpectedLoss
from lab.runs.schema_parts import (
    LAST_TENTH,
    LONGEST_SOURCE,
    CopiedShare,
    GpuUse,
    Holdout,
    ImportConfig,
    RankHeartbeats,
    ShardSetting,
    StartConfig,
    TuningConfig,
)
from models.config import LARGEST, AttentionKernel, CompileSetting, ModelConfig, OptimizerName, Precision, TokenizerKind
from models.learning_rate import Schedule

FORMAT = 1
"""Version of the run folder's layout; a newer one is refused."""

Step = Annotated[int, Meta(ge=0, le=LIMITS["steps"].most)]
Count = Annotated[int, Meta(ge=0, le=1 << 62)]
"""Bytes, characters, tokens, a process."""
Seconds = Annotated[float, Meta(ge=0, le=1e10)]
UnixTime = Annotated[float, Meta(ge=-1e11, le=1e11)]
"""Up to the year 5138; below 0 where a clock stands before 1970."""
Loss = Annotated[float, Meta(ge=0, le=3.5e38)]
"""A loss or the norm of a gradient, within fp32."""
NonNegative = Annotated[float, Meta(ge=0, le=1e18)]
Fraction = Annotated[float, Meta(ge=0, le=1.001)]
"""From 0 to 1, with room for rounding."""
Word = Annotated[str, Meta(max_length=500)]
Path = Annotated[str, Meta(max_length=10_000)]
Sentence = Annotated[str, Meta(max_length=20_000)]
Text = Annotated[str, Meta(max_length=1 << 20)]


def _within(name: str) -> Meta:
    """The limits of a new run's setting."""
    return Meta(**LIMITS[name].meta())


PrecisionSetting = Literal["auto", Precision]
"""A precision, or "auto" for the quicker one on this machine."""
LogTo = Literal["files", "tensorboard"]

Phase = Literal["starting", "training", "paused", "stopped", "finished", "failed"]


class ValidationSegments(msgspec.Struct, frozen=True, array_like=True):
    """The segments of the validation part that an evaluation uses."""

    tokens: Annotated[tuple[tuple[Count, Count], ...], Meta(min_length=1, max_length=1024)]
    """Half-open ranges of tokens.bin, in order."""
    bytes: Count
    sha256: Word
    """Checksum of the bytes. Evaluations on segments with the same one are on the same bytes, whatever the tokens."""


DEFAULT_RULES: tuple[str, ...] = ("line-endings",)
"""Cleaning rules that are on unless others are asked for; runs from before they were kept used these."""


class CleaningStep(msgspec.Struct, frozen=True, kw_only=True):
    """A cleaning rule's effect on a whole text, in bytes of UTF-8: bytes_in − removed − before + after = bytes_out."""

    rule: Word
    bytes_in: Count
    bytes_out: Count
    removed: Count = 0
    """Bytes of the passages that it took altogether."""
    before: Count = 0
    """Bytes of the passages that it changed, as they were."""
    after: Count = 0
    """Bytes of the same passages as they are now."""
    passages_removed: Count = 0
    passages_changed: Count = 0
    documents_emptied: Count = 0
    """Documents that it left empty."""

    def __post_init__(self) -> None:
        if self.bytes_in - self.removed - self.before + self.after != self.bytes_out:
            raise ValueError(f"the bytes that {self.rule} took and left do not add up")


class DataConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The training text as it was when the run was made. Sizes are of the cleaned text."""

    name: Word
    source: Annotated[str, Meta(max_length=LONGEST_SOURCE)]
    """One source a line: paths, folders, glob patterns, "-", or built-in texts."""
    encoding: Word
    sha256: Word
    bytes: Count
    characters: Count
    tokens: Count
    split: Count
    """Index of the first validation token in tokens.bin: [0, split) is trained on, [split, tokens) never."""
    tokens_sha256: Word = ""
    """Checksum of tokens.bin; empty in runs made before it was kept."""
    train_bytes: Count
    val_bytes: Count
    evaluated: ValidationSegments | None = None
    """The segments of evaluations during training; in runs from before it was kept, the first tokens of the validation part, as
    many as `status.json` says."""
    final: ValidationSegments | None = None
    """The segments of the evaluation at the end; None in such runs."""
    holdout: Holdout = LAST_TENTH
    copied: CopiedShare | None = None
    """None where the validation part is shorter than a passage, and in runs from before it was kept."""
    entropy_bits_per_byte: Loss | None = None
    """True entropy of the source where it is known, which is the lowest possible bits per byte."""
    cleaning: Annotated[tuple[Word, ...], Meta(max_length=100)] = DEFAULT_RULES
    """Names of the cleaning rules, in the order in which they were applied."""
    funnel: Annotated[tuple[CleaningStep, ...], Meta(max_length=100)] = ()
    """Effect of each of these rules; empty in runs from before it was kept."""
    documents: Annotated[int, Meta(ge=1, le=1 << 62)] = 1
    """Documents with text. Between each two of them, tokens.bin has an end-of-text token, which is no byte of text."""
    left_out: Word = ""
    """The files of its folders and patterns that were left out, in words: `2 binary files and 1 empty file`."""

    def __post_init__(self) -> None:
        if self.split > self.tokens:
            raise ValueError(f"the validation part begins at token {self.split:,} of {self.tokens:,}")
        for segments in (self.evaluated, self.final):
            edges = [self.split, *(edge for each in segments.tokens for edge in each), self.tokens] if segments else []
            if edges != sorted(edges):
                raise ValueError("the evaluation segments are not in the validation part")


class TokenizerConfig(msgspec.Struct, frozen=True, kw_only=True):
    kind: TokenizerKind
    vocab_size: Annotated[int, Meta(ge=1, le=LARGEST["vocab_size"])]


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Training settings. The run ends after `steps` or after `minutes`; the other is None."""

    batch: Annotated[int, _within("batch")] = 16
    """Windows of `context` tokens in one step."""
    accumulate: Annotated[int, _within("accumulate")] = 1
    """Micro-batches of a step, computed one after the other to save memory."""
    steps: Annotated[int, _within("steps")] | None = 2000
    minutes: Annotated[float, _within("minutes")] | None = None
    minutes_of_steps: bool = False
    """True: minutes, and the seconds of its logs, are of steps alone; evaluations, samples and saving come on top."""
    optimizer: OptimizerName = "adamw"
    """Muon is for the matrices inside the layers; embeddings, norms and biases follow AdamW. Older runs use AdamW alone."""
    lr: Annotated[float, _within("lr")] = 2e-3
    """Peak learning rate; it warms up over `warmup` of the run and falls to `final_lr` times itself as `schedule` says."""
    schedule: Schedule = "cosine"
    final_lr: Annotated[float, _within("final_lr")] = 0.1
    warmup: Annotated[float, _within("warmup")] = 0.03
    weight_decay: Annotated[float, _within("weight_decay")] = 0.1
    average: Annotated[float, _within("average")] = 0.0
    """Share of the steps so far over which the weights that are evaluated and kept as the best are averaged; 0: the last ones."""
    beta1: Annotated[float, _within("beta1")] = 0.9
    beta2: Annotated[float, _within("beta2")] = 0.95
    clip: Annotated[float, _within("clip")] = 1.0
    seed: Annotated[int, _within("seed")] = 1337
    device: Word = "auto"
    threads: Annotated[int, _within("threads")] | None = None
    precision: PrecisionSetting = "auto"
    attention: AttentionKernel = "auto"
    """Plain matrix products, torch's fused kernel, or whichever is quicker on this machine."""
    compile: CompileSetting = "auto"
    """Steps by compiled code; "auto": where the run is long enough to repay it, on a CUDA card."""
    eval_every: Annotated[int, _within("eval_every")] = 100
    """Steps between evaluations on the validation part, each followed by a sample for every prompt."""
    patience: Annotated[int, _within("patience")] | None = None
    """Evaluations in a row without a new lowest validation loss after which training ends early; None: never."""
    ranks: Annotated[int, _within("ranks")] = 1
    """Processes that it is trained in, one for each GPU; another number can resume it."""
    shard_optimizer: ShardSetting = "auto"
    log_to: LogTo = "files"
    prompts: tuple[Text, ...] = ()
    sample_tokens: Annotated[int, _within("sample_tokens")] = 80

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("training ends after `steps` or after `minutes`, and exactly one of them must be given")
        if self.accumulate > self.batch:
            raise ValueError(f"a batch of {self.batch} windows cannot be computed in {self.accumulate} parts")


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """config.json: the settings of a run. Written once, before the run exists under its name."""

    format: Count = FORMAT
    name: Word
    created: UnixTime
    """Unix time in seconds."""
    model: ModelConfig
    tokenizer: TokenizerConfig
    data: DataConfig
    """In a run that was trained further, the text of its base; empty in one that was imported."""
    train: TrainConfig
    tuning: TuningConfig | None = None
    """None for a run that was trained from its initial weights, or imported."""
    start: StartConfig | None = None
    """None for a run that began with random weights."""
    expected: ExpectedLoss | None = None
    """None for a run whose settings were not chosen for its minutes."""
    imported: ImportConfig | None = None
    """None for a run that was trained here."""

    @property
    def has_text(self) -> bool:
        """True if the run has a text: an imported one has none."""
        return self.data.tokens > 0

    def __post_init__(self) -> None:
        if self.tokenizer.vocab_size != self.model.vocab_size:
            raise ValueError(f"the tokenizer has {self.tokenizer.vocab_size:,} tokens and the model {self.model.vocab_size:,}")


class FinalEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Loss of the weights of `step` on `DataConfig.final`: the whole validation part or a large sample of it."""

    step: Step
    tokens: Count
    bytes: Count
    val_loss: Loss | None = None
    bits_per_byte: Loss | None = None


class Status(msgspec.Struct, kw_only=True):
    """status.json: the trainer's state. Replaced atomically, about once a second."""

    phase: Phase
    step: Step = 0
    steps: Step | None = None
    """The step at which the run ends, where that is known."""
    pid: Count = 0
    pid_started: UnixTime = 0.0
    host: Word = ""
    heartbeat: UnixTime = 0.0
    """Unix time of the last write, in seconds."""
    ranks: RankHeartbeats = ()
    """The processes that train it, by rank, if they are several; rank 0 is the one that writes this."""
    seconds: Seconds = 0.0
    """Time spent training so far, over all resumes, pauses excluded."""
    device: Word = ""
    precision: Word = ""
    """"fp32", "bf16" or "fp16", as chosen for this machine when the run began."""
    threads: Step = 0
    """Processor cores it computes on now; 0 where that is not known."""
    computed: Sentence = ""
    """Precision, attention kernel and threads of a step, with the reasons, in one line for people."""
    gpu: GpuUse | None = None
    """None on another device, and in older runs."""
    best_val_loss: Loss | None = None
    best_step: Step | None = None
    """Step of the lowest validation loss so far, whose weights are kept."""
    eval_tokens: Count = 0
    """Tokens of the validation part on which every evaluation of this run is made."""
    eval_bytes: Count = 0
    """Their bytes; 0 in runs from before it was kept."""
    final: FinalEvaluation | None = None
    """Evaluation of the last weights at the end of the run; None before, and in older runs."""
    final_best: FinalEvaluation | None = None
    """Evaluation of the best weights."""
    no_room: bool = False
    """True while it waits on a full disk, with the steps since the last checkpoint in memory alone."""
    stopping: bool = False
    """True if it stops as soon as there is room on the disk."""
    message: Sentence = ""
    """One sentence on what is happening or, after a failure, what went wrong and what to do."""


class Metric(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One line of metrics.jsonl: the state after `step` updates. Step 0 has an evaluation only.

    `loss` is that of the step's batch before the update, in nats per token.
    """

    step: Step
    tokens: Count
    epoch: NonNegative
    seconds: Seconds
    loss: Loss | None = None
    lr: Loss | None = None
    grad_norm: Loss | None = None
    tokens_per_second: NonNegative | None = None
    val_loss: Loss | None = None
    bits_per_byte: Loss | None = None
    """Validation loss in bits for each byte of validation text: the figure that compares across tokenizers."""


class Sample(msgspec.Struct, kw_only=True):
    """One line of samples.jsonl: the model's continuation of `prompt` at `step`."""

    step: Step
    prompt: Text
    text: Text


EventKind = Literal["checkpoint", "best", "pause", "resume", "stop", "bad_step", "back", "micro_batch", "computing", "early_stop"]
"""Kinds of events, marked on a run's curve:

checkpoint: saved, so that training can resume from this step.
best: the lowest validation loss so far, whose weights are kept.
pause, resume: paused by a command or a full disk; resumed, also in a new process.
stop: a command or a signal ended it; `text` says which.
bad_step: the loss of this step was NaN/inf or a spike, so that its update was not applied.
back: a rollback after several bad steps: the weights of an earlier step, and the learning rate halved from here on.
micro_batch: out of memory; a step is computed in smaller micro-batches from here on.
computing: steps are computed otherwise from here on: the scale of the loss in fp16 was found, or compiling failed.
early_stop: the validation loss had not improved for `patience` evaluations.
"""


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One line of events.jsonl: an event of the run after `step` updates, in order."""

    step: Step
    seconds: Seconds
    """Time spent training so far, pauses excluded, as in the metric of that step."""
    kind: EventKind
    text: Sentence = ""
    """A sentence for `back`, `bad_step`, `micro_batch`, `computing`, `early_stop` and `stop`; often empty for the others."""


class PartUpdate(msgspec.Struct, array_like=True):
    """Update of a part of the model in a step: `embedding`, `positions`, `3 attention`, `3 MLP` (layers from 1), `final norm`."""

    part: Word
    grad_norm: Loss
    """L2 norm of the gradient of all its parameters, before clipping: all squares add up to that of the metric."""
    ratio: Loss | None
    """‖change‖ / ‖weights‖ of its matrices, weights as they were before the step; None where a part has none."""


HeadScore = Literal["previous", "duplicate", "induction"]
HEAD_SCORES: tuple[HeadScore, ...] = get_args(HeadScore)
"""Scores of an attention head, from 0 to 1; `lab.analysis.insight_sentences` defines them."""


def _at_most(limit: Limit) -> Meta:
    """The limits of a list's length."""
    return Meta(min_length=int(limit.least), max_length=int(limit.most))


class Place(msgspec.Struct, array_like=True):
    """Prediction at a place of the validation text that is the same at every evaluation."""

    before: Annotated[list[Path], _at_most(PLACE_TOKENS)]
    """The tokens that the model is given, as they are shown."""
    truth: Path
    """The token that comes next in the text."""
    after: Annotated[list[Path], _at_most(PLACE_TOKENS)]
    """The tokens after that one, which the model is not given."""
    truth_probability: Fraction
    top: Annotated[list[tuple[Path, Fraction]], _at_most(TOP_TOKENS)]
    """The most probable next tokens with their probabilities."""


class Insight(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One line of insights.jsonl: measurements inside the model at the evaluation after `step` updates.

    The scores of `HEAD_SCORES` are by [layer][head]. The probe is a place in the validation text.
    """

    step: Step
    took: Seconds
    """Seconds that measuring took."""
    repeated: Step = 0
    """Length of the random sequence that is repeated; 0 where the text has too few tokens for head scores."""
    previous: list[list[Fraction]] = []
    duplicate: list[list[Fraction]] = []
    induction: list[list[Fraction]] = []
    probe: list[Path] = []
    """The probe's tokens as they are shown."""
    truth: Path = ""
    """The token that comes next in the text, as it is shown."""
    truth_probability: Fraction = 0.0
    top: list[tuple[Path, Fraction]] = []
    """The most probable next tokens with their probabilities."""
    pattern: list[list[list[Fraction]]] = []
    """Attention from the probe's last token to each of its tokens: [layer][head][token]."""
    places: Annotated[list[Place], _at_most(MEASURED_PLACES)] = []
    """More places of the validation text, spread over it; empty in runs of older versions."""
    parts: list[PartUpdate] = []
    """Updates of the step before; empty at step 0, and where that step was not applied."""

    def __post_init__(self) -> None:
        heads = {tuple(map(len, meter)) for meter in (self.previous, self.duplicate, self.induction)}
        if self.repeated and (len(heads) != 1 or not _is_table(next(iter(heads)))):
            raise ValueError("the head scores must have one number for each head of each layer")
        rows = [len(row) for layer in self.pattern for row in layer]
        if self.pattern and not (_is_table(tuple(map(len, self.pattern))) and set(rows) == {len(self.probe)}):
            raise ValueError("the pattern must have one number for each head of each layer and token of the probe")


def _is_table(widths: tuple[int, ...]) -> bool:
    """True if rows of these lengths are a table that is not empty."""
    return len(set(widths)) == 1 and widths[0] > 0
