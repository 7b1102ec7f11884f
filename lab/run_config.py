"""What a run's files hold, as types: config.json, status.json, metrics.jsonl, samples.jsonl, events.jsonl and
insights.jsonl.

Nothing here needs torch; the screens read runs with these types alone.
"""

from typing import Literal

import msgspec

from models.config import ModelConfig
from models.schedule import Schedule

FORMAT = 1
"""Version of the run folder's layout; a reader refuses a newer one in words."""

OptimizerName = Literal["muon", "adamw"]

Phase = Literal["starting", "training", "paused", "stopped", "finished", "failed"]


class DataConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The text that a run learns from, as it was when the run was made. Sizes are of the cleaned text."""

    name: str
    source: str
    encoding: str
    sha256: str
    bytes: int
    characters: int
    tokens: int
    split: int
    """Index of the first validation token in tokens.bin: [0, split) is trained on, [split, tokens) never."""
    tokens_sha256: str = ""
    """Checksum of tokens.bin; empty in runs made before it was kept."""
    train_bytes: int
    val_bytes: int
    entropy_bits_per_byte: float | None = None
    """True entropy of the source where it is known, which is the floor of bits per byte."""


class TokenizerConfig(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["bytes", "bpe", "gpt2"]
    vocab_size: int


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is trained. `steps` or `minutes` says when it ends, and one of them is None."""

    batch: int = 16
    """Windows of `context` tokens in one step."""
    accumulate: int = 1
    """Parts that a step's windows are computed in, one after the other, so that they need less memory at once."""
    steps: int | None = 2000
    minutes: float | None = None
    optimizer: OptimizerName = "adamw"
    """Muon is for the matrices inside the layers; embeddings, norms and biases follow AdamW. Older runs follow AdamW alone."""
    lr: float = 2e-3
    """Peak learning rate; it warms up over `warmup` of the run and falls to `final_lr` times itself as `schedule` says."""
    schedule: Schedule = "cosine"
    final_lr: float = 0.1
    warmup: float = 0.03
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    seed: int = 1337
    device: str = "auto"
    threads: int | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    attention: Literal["auto", "plain", "fused"] = "auto"
    """By plain products, by torch's fused kernel, or whichever is quicker on this machine."""
    eval_every: int = 100
    """Steps between evaluations on the validation part, each followed by a sample for every prompt."""
    patience: int | None = None
    """Evaluations in a row without a new lowest validation loss after which training ends early; None: never."""
    prompts: tuple[str, ...] = ()
    sample_tokens: int = 80


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """config.json: what was asked. Written once, before the run exists under its name."""

    format: int = FORMAT
    name: str
    created: float
    """Unix time in seconds."""
    model: ModelConfig
    tokenizer: TokenizerConfig
    data: DataConfig
    train: TrainConfig


class Status(msgspec.Struct, kw_only=True):
    """status.json: what the trainer is doing. Replaced atomically, about once a second."""

    phase: Phase
    step: int = 0
    steps: int | None = None
    """The step at which the run ends, where that is known."""
    pid: int = 0
    pid_started: float = 0.0
    host: str = ""
    heartbeat: float = 0.0
    """Unix time of this writing, in seconds."""
    seconds: float = 0.0
    """Time spent training so far, over all resumes, pauses excluded."""
    device: str = ""
    precision: str = ""
    """"fp32" or "bf16", as chosen for this machine when the run began."""
    threads: int = 0
    """Processor cores it computes on now; 0 where that is not known."""
    computed: str = ""
    """How steps are computed and why, in one line for people."""
    best_val_loss: float | None = None
    best_step: int | None = None
    """Step of the lowest validation loss so far, whose weights are kept."""
    eval_tokens: int = 0
    """Tokens of the validation part on which every evaluation of this run is made."""
    no_room: bool = False
    """Whether it waits for room on a full disk, with what was computed since the last checkpoint in memory alone."""
    stopping: bool = False
    """Whether it stops as soon as there is room."""
    message: str = ""
    """One sentence on what is happening or, after a failure, what went wrong and what to do."""


class Metric(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One line of metrics.jsonl: the state after `step` updates. Step 0 has an evaluation only.

    `loss` is that of the step's batch before the update, in nats per token.
    """

    step: int
    tokens: int
    epoch: float
    seconds: float
    loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    val_loss: float | None = None
    bits_per_byte: float | None = None
    """Validation loss in bits for each byte of validation text: the figure that compares across tokenizers."""


class Sample(msgspec.Struct, kw_only=True):
    """One line of samples.jsonl: what the model wrote after `prompt` at `step`."""

    step: int
    prompt: str
    text: str


EventKind = Literal["checkpoint", "best", "pause", "resume", "stop", "bad_step", "back", "micro_batch", "early_stop"]
"""What can be marked on a run's curve:

checkpoint: saved, so that nothing before this step can be lost any more.
best: the lowest validation loss so far, whose weights are kept.
pause, resume: it stood still, asked to or for want of room on the disk; it went on, also in a new process.
stop: a command or a signal ended it; `text` says which.
bad_step: the loss of this step was no number or far outside its recent spread, so that its update was not applied.
back: after several bad steps the weights are those of an earlier step again, and the learning rate is halved from here on.
micro_batch: memory did not suffice, and a step is computed in smaller parts from here on.
early_stop: the validation loss had not improved for as many evaluations as were asked for.
"""


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One line of events.jsonl: what happened to the run after `step` updates. Steps never go down from line to line."""

    step: int
    seconds: float
    """Time spent training so far, pauses excluded, as in the metric of that step."""
    kind: EventKind
    text: str = ""
    """A sentence for `back`, `bad_step`, `micro_batch`, `early_stop` and `stop`; often empty for the others."""


class PartUpdate(msgspec.Struct, array_like=True):
    """What a step did to a part of the model: `embedding`, `positions`, `3 attention`, `3 MLP` (layers from 1), `final norm`."""

    part: str
    grad_norm: float
    """L2 norm of the gradient of all its parameters, before clipping: all squares add up to that of the metric."""
    ratio: float | None
    """‖change‖ / ‖weights‖ of its matrices, weights as they were before the step; None where a part has none."""


class Insight(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One line of insights.jsonl: what was measured inside the model at the evaluation after `step` updates.

    The meters are those of `lab.head_meters`, from 0 to 1, by [layer][head]. The probe is a place in the validation text.
    """

    step: int
    took: float
    """Seconds that measuring took."""
    repeated: int = 0
    """Length of the random sequence that is seen twice; 0 where the text has too few tokens for meters."""
    previous: list[list[float]] = []
    duplicate: list[list[float]] = []
    induction: list[list[float]] = []
    probe: list[str] = []
    """The probe's tokens as they are shown."""
    truth: str = ""
    """The token that comes next in the text, as it is shown."""
    truth_probability: float = 0.0
    top: list[tuple[str, float]] = []
    """The likeliest next tokens with their probabilities."""
    pattern: list[list[list[float]]] = []
    """What the probe's last token pays to each of its tokens: [layer][head][token]."""
    parts: list[PartUpdate] = []
    """Of the step that led here; empty at step 0, and where that step was not applied."""
