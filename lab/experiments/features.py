"""Features: a sparse autoencoder of the residual stream after a layer, fitted to a run's training text, kept in the run's folder
and measured on other text; where a feature is active, what it does to the logits, and what it costs to take it out.

The first position of a window has no part in any of it: its stream is often far longer than all others.
"""

import math
import os
import resource
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple

import msgspec
import torch
from msgspec import Meta
from torch import Tensor

from lab.core.atomic_io import os_error_in_words, sync_folder, temporary_beside
from lab.core.errors import DamagedFileError, UserError
from lab.core.number_format import whole
from lab.core.safetensors_file import check_whole, read_header
from lab.core.unfinished_folder import remove_abandoned_files
from lab.experiments.context_window import standard_error
from lab.experiments.experiment_context import ExperimentContext, Ids
from lab.experiments.layer_streams import AT_ONCE, chance_directions, logits_with, stream_after, window_losses
from lab.runs.run_folder import Run
from lab.runs.weights_file import read_weights, write_weights
from models.check import check
from models.gpt import GPT
from models.lenses import Changes
from models.sparse_autoencoder import STEPS, SparseAutoencoder, by_chance, explained, fit

FILE_OF, FILE = "features-{}.safetensors", "features.safetensors"
"""The file of a layer, 1-based, and that of whatever layer, as older versions wrote it."""
MOST_FEATURES = 16384
VECTORS, NUMBERS = 100_000, 40_000_000
"""Most stream vectors that are kept for the fit, and most numbers of them: 160 MB."""
JUDGED, FOLDS = 8192, 5
"""Most tokens of text on which the result is measured, and the parts of it that tell the spread."""
TRIED, TRIED_STEPS, PASSES = 2048, 8, 7
"""Tokens and steps by which the time of a fit is measured before it; and how many times as long as an `effect` it takes to judge
it, about."""
LOGITS_AT_ONCE = 8_000_000
"""Logits that are held at one time."""
PLACES, AROUND, LOGITS = 4, 12, 6
"""Strongest places that are shown, tokens before each, and tokens whose logits rise or fall most."""
WEAKER = (0.25, 0.5, 0.75)
"""Where the weaker places that are shown stand among all, by strength."""

Real = Annotated[float, Meta(ge=-1e9, le=1e9)]
Count = Annotated[int, Meta(ge=0, le=1 << 40)]
Spread = tuple[Real, Real]
"""A mean over windows, and its standard error."""


FEATURES, NOISE, RANDOM = "features", "noise as long as their error", "random directions"


class Effect(msgspec.Struct, frozen=True):
    """What it adds to the loss to have something else in the stream, and the KL divergence of the predictions; in nats."""

    cost: Spread
    kl: Spread


class FeaturesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How the autoencoder was fitted, and what it can and cannot do on other text."""

    layer: Annotated[int, Meta(ge=1, le=1 << 16)]
    """1-based."""
    features: Annotated[int, Meta(ge=1, le=MOST_FEATURES)]
    active: Annotated[int, Meta(ge=1, le=MOST_FEATURES)]
    seed: Count
    step: Count
    """Training step of the model's weights."""
    vectors: Count
    """Stream vectors of the training text that it was fitted to."""
    part: Annotated[str, Meta(max_length=40)]
    """The text that it is judged on."""
    places: Count
    dead: Count
    """Features that are never active there."""
    per_token: Real
    """Features that are active at a place, on average."""
    explained: tuple[Real, Real, Real]
    """Share of the variance: on all places, of the lowest fold and of the highest."""
    explained_by_chance: Real
    """The same with as many random directions."""
    loss: Spread
    squares: tuple[float, float, float] | None = None
    """Mean squared lengths of the error, of that of random directions, and of the distance from the mean; not in older files."""
    effects: dict[Annotated[str, Meta(max_length=40)], Effect]
    """Of something else in the stream's place: its reconstruction (`FEATURES`), and the controls."""

    @property
    def than_noise(self) -> int:
        """−1 if the reconstruction changes predictions clearly less than noise as long as its error, 1 if more, else 0."""
        (own, error), (noise, other) = self.effects[FEATURES].kl, self.effects[NOISE].kl
        return (own > noise) - (own < noise) if abs(own - noise) > 2 * math.hypot(error, other) else 0


class Features(NamedTuple):
    autoencoder: SparseAutoencoder
    record: FeaturesRecord

    @property
    def layer(self) -> int:
        """0-based."""
        return self.record.layer - 1


def replaced(layer: int, make: Callable[[Tensor], Tensor]) -> Changes:
    """`make` of the stream (B, T − 1, C) after a layer, 0-based, in its place, but at the first position."""
    return {layer: lambda stream: torch.cat([stream[:, :1], make(stream[:, 1:])], 1)}


@torch.no_grad()
def later_stream(model: GPT, ids: Tensor, layer: int) -> Tensor:
    """The stream (B, T − 1, C) after a layer, 0-based, of windows (B, T), without the first position."""
    at_once, parts = max(1, AT_ONCE // ids.shape[1]), list[Tensor]()
    for start in range(0, len(ids), at_once):
        parts.append(stream_after(model, ids[start : start + at_once], layer)[:, 1:].clone())
        check()
    return torch.cat(parts)


def fitting_vectors(context: ExperimentContext, layer: int, most: int = VECTORS) -> Tensor:
    """Stream vectors (N, C) from all over the run's training text. Raises: UserError: if it cannot be read, or is too short."""
    windows = _training_windows(context, most)
    return later_stream(context.model, torch.from_numpy(windows[:, :-1]), layer).flatten(0, 1)


def _training_windows(context: ExperimentContext, most: int = VECTORS) -> Ids:
    size = context.config
    windows, _ = context.windows(max(1, min(most, NUMBERS // size.width) // size.context), training=True)
    if windows.shape[1] < 3:
        raise UserError(f"The text of {context.run_name} is too short for features: a window needs two tokens before the last.")
    return windows


def _judged_windows(context: ExperimentContext) -> tuple[Ids, str]:
    return context.windows(max(FOLDS, context.affordable(JUDGED, 10) // context.config.context))


class FitCost(NamedTuple):
    seconds: float
    memory: int
    """Bytes of this process at its largest."""


@torch.no_grad()
def fit_cost(context: ExperimentContext, layer: int | None, features: int, active: int) -> FitCost:
    """What `fit_features` takes here: a little of each of its parts is done and timed. Raises: UserError: as that."""
    layer, size = _layer_to_fit(context, layer, features, active), context.config
    times = [time.monotonic()]

    def passed(_: float = 0.0) -> None:
        times.append(time.monotonic())

    vectors = fitting_vectors(context, layer, TRIED)
    passed()
    found = fit(vectors, features, active, 0, steps=TRIED_STEPS, told=passed)
    windows, _ = context.windows(max(1, TRIED // size.context))
    effect(context.model, layer, windows, found.reconstruct)
    passed()
    gathering, _, *steps, judging = (after - before for before, after in pairwise(times))
    rows, columns = _training_windows(context).shape
    seconds = gathering * rows * (columns - 2) / len(vectors) + STEPS * median(steps)
    seconds += PASSES * judging * len(_judged_windows(context)[0]) / len(windows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return FitCost(seconds, peak + 2 * vectors.element_size() * rows * columns * size.width)  # the vectors, and parts of them


def _layer_to_fit(context: ExperimentContext, layer: int | None, features: int, active: int) -> int:
    layer = (context.config.layers - 1) // 2 if layer is None else layer
    if not 0 <= layer < context.config.layers:
        raise UserError(f"{context.run_name} has no layer {layer + 1}; its layers are 1 to {context.config.layers}.")
    if active > features:
        raise UserError(f"{active} of {features} features cannot be active; choose fewer.")
    return layer


def fit_features(
    context: ExperimentContext,
    layer: int | None = None,
    features: int = 512,
    active: int = 8,
    seed: int = 0,
    told: Callable[[float], None] = lambda share: None,
) -> Features:
    """Fit an autoencoder after a layer, 0-based (None: the middle one), round it as its file does, and measure it. `told` gets
    the share that is done.

    Raises: UserError: if there is no such layer, or no text.
    """
    layer = _layer_to_fit(context, layer, features, active)
    vectors = fitting_vectors(context, layer)
    found = fit(vectors, features, active, seed, told=told)
    parts = (found.encoder, found.encoder_bias, found.decoder, found.bias)
    rounded = SparseAutoencoder(active, *(each.half().float() for each in parts))
    return Features(rounded, measured(context, layer, rounded, vectors, seed))


@torch.no_grad()
def measured(context: ExperimentContext, layer: int, found: SparseAutoencoder, vectors: Tensor, seed: int) -> FeaturesRecord:
    """The record of an autoencoder that was fitted to `vectors`, on the run's validation text."""
    model, mean = context.model, vectors.mean(0)
    windows, part = _judged_windows(context)
    stream = later_stream(model, torch.from_numpy(windows[:, :-1]), layer)
    x = stream.flatten(0, 1)
    made, (values, chosen) = found.reconstruct(x), found.encode(x)
    folds = [explained(x[rows], made[rows], mean) for rows in torch.arange(len(x)).tensor_split(min(FOLDS, len(x)))]
    chance = by_chance(vectors[:: max(1, len(vectors) // JUDGED)], len(found.decoder), found.active, seed)
    draws = torch.Generator().manual_seed(seed)

    def noisy(x: Tensor) -> Tensor:
        noise, errors = torch.randn(x.shape, generator=draws), x - found.reconstruct(x)
        changed: Tensor = x + noise * (errors.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True))
        return changed

    instead: dict[str, Callable[[Tensor], Tensor]] = {
        FEATURES: found.reconstruct,
        NOISE: noisy,
        RANDOM: chance.reconstruct,
        "mean": mean.expand_as,
        "zero": torch.zeros_like,
    }
    effects = {name: effect(model, layer, windows, make) for name, make in instead.items()}
    own, other, about = (float((x - each).square().sum(1).double().mean()) for each in (made, chance.reconstruct(x), mean))
    return FeaturesRecord(
        layer=layer + 1,
        features=len(found.decoder),
        active=found.active,
        seed=seed,
        step=context.opened.step,
        vectors=len(vectors),
        part=part,
        places=len(x),
        dead=int((torch.bincount(chosen[values > 0], minlength=len(found.decoder)) == 0).sum()),
        per_token=float((values > 0).sum(1).double().mean()),
        explained=(explained(x, made, mean), min(folds), max(folds)),
        explained_by_chance=explained(x, chance.reconstruct(x), mean),
        squares=(own, other, about),
        loss=_spread(window_losses(model, windows)),
        effects=effects,
    )


@torch.no_grad()
def effect(model: GPT, layer: int, windows: Ids, make: Callable[[Tensor], Tensor]) -> Effect:
    """The effect, over windows (B, T + 1), of `make` of the stream after a layer, 0-based, in its place."""
    costs, divergences = list[Tensor](), list[Tensor]()
    at_once = max(1, min(AT_ONCE, LOGITS_AT_ONCE // model.config.vocab_size) // windows.shape[1])
    for start in range(0, len(windows), at_once):
        rows = torch.from_numpy(windows[start : start + at_once])
        own, other = (logits_with(model, rows[:, :-1], changes).log_softmax(-1) for changes in ({}, replaced(layer, make)))
        costs.append((own - other).gather(-1, rows[:, 1:, None]).squeeze(-1).mean(1))
        divergences.append((own.exp() * (own - other)).sum(-1).mean(1))
    return Effect(_spread(torch.cat(costs).double()), _spread(torch.cat(divergences).double()))


def _spread(losses: Tensor) -> Spread:
    return float(losses.mean()), standard_error(losses.numpy()) if len(losses) > 1 else 0.0


def save_features(run: Run, found: Features) -> Path:
    """Replace the run's file of features after their layer. Raises: UserError: if it cannot be written."""
    path, model = run.path / FILE_OF.format(found.record.layer), found.autoencoder
    tensors = {"encoder": model.encoder, "encoder_bias": model.encoder_bias, "decoder": model.decoder, "bias": model.bias}
    remove_abandoned_files(run.path)
    temporary, record = temporary_beside(path), msgspec.json.encode(found.record).decode()
    try:
        write_weights(temporary, {name: each.half() for name, each in tensors.items()}, {"features": record})
        os.replace(temporary, path)
        sync_folder(run.path)
    except OSError as error:
        problem = os_error_in_words(error, f"save the features of {run.name} after layer {found.record.layer}")
        kept = f"{'those of before are still in' if path.is_file() else 'there is still no'} {path.name}"
        raise UserError(f"{str(problem).removesuffix('.')}; {kept}.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_features(context: ExperimentContext, layer: int | None = None) -> Features | None:
    """The features in the run's folder after a layer, 0-based (None: those that were fitted last); None where there are none.

    Raises: UserError: if a file cannot be used, or they are of other weights.
    """
    folder = context.opened.run.path
    newest = sorted(folder.glob("features*.safetensors"), key=lambda path: path.lstat().st_mtime, reverse=True)
    paths = newest if layer is None else [folder / FILE_OF.format(layer + 1), folder / FILE]
    read = (_read(context, path) for path in paths)
    return next((each for each in read if each is not None and layer in (None, each.layer)), None)


def nearest_features(context: ExperimentContext) -> Features | None:
    """Those after the layer at hand, else those that were fitted last. Raises: UserError: as `load_features`."""
    return load_features(context, context.layer) or load_features(context)


def _read(context: ExperimentContext, path: Path) -> Features | None:
    run, width = context.opened.run, context.config.width
    try:
        header = read_header(path)
    except FileNotFoundError:
        return None
    try:
        record = msgspec.json.decode(header.metadata.get("features", ""), type=FeaturesRecord)
    except msgspec.DecodeError as error:
        raise DamagedFileError(path, "does not say how its features were fitted") from error
    count = record.features
    shapes = {"encoder": (count, width), "encoder_bias": (count,), "decoder": (count, width), "bias": (width,)}
    held = {name: entry.shape for name, entry in header.tensors.items()}
    if held != shapes or {entry.dtype for entry in header.tensors.values()} != {"F16"}:
        raise DamagedFileError(path, f"does not hold {whole(count)} features of a stream of width {width}")
    if not {FEATURES, NOISE} <= record.effects.keys():
        raise DamagedFileError(path, "does not say what its features miss")
    if record.active > count or record.layer > context.config.layers:
        raise DamagedFileError(path, "has more active features than features, or is of a layer that the model lacks")
    if record.step != context.opened.step:
        raise UserError(
            f"The features of {run.name} were fitted to its weights of step {record.step}, and these are of step "
            f"{context.opened.step}; `llmlab features {run.name} --fit` fits them anew."
        )
    check_whole(path)
    tensors = read_weights(path)
    found = Features(SparseAutoencoder(record.active, *(tensors[name].float() for name in shapes)), record)
    context.opened.features[found.layer] = found.autoencoder
    return found


class Activity(NamedTuple):
    """Where features are active in windows of text the autoencoder was not fitted to, if the run has such a text."""

    ids: Tensor
    """(B, T)"""
    activations: Tensor
    chosen: Tensor
    """Both (B, T − 1, k), of the places after the first: activations, and the features that they are of."""

    def shares(self, features: int) -> Tensor:
        """The share (F,) of places where each feature is active."""
        active = (self.activations > 0).flatten().float()
        return torch.zeros(features).index_add(0, self.chosen.flatten(), active) / self.chosen[..., 0].numel()

    def of(self, feature: int) -> Tensor:
        """The activations (B, T) of one feature; 0 at the first position."""
        values = (self.activations * (self.chosen == feature)).sum(-1)
        return torch.cat([torch.zeros(len(values), 1), values], 1)


@torch.no_grad()
def activity(context: ExperimentContext, found: Features) -> Activity:
    windows, _ = context.windows(max(FOLDS, context.affordable(2 * JUDGED) // context.config.context))
    ids = torch.from_numpy(windows[:, :-1])
    stream = later_stream(context.model, ids, found.layer)
    values, chosen = found.autoencoder.encode(stream.flatten(0, 1))
    return Activity(ids, values.view(*stream.shape[:2], -1), chosen.view(*stream.shape[:2], -1))


def logit_effects(model: GPT, direction: Tensor) -> Tensor:
    """(V,): what a direction (C,) of the stream, 1 long, would add to the logits if nothing but the final norm's gain came after
    it; only their order means something, as the norm's scale is left out."""
    return (direction - direction.mean()) * model.ln_f.weight @ model.wte.weight.T


@torch.no_grad()
def changed_most(context: ExperimentContext, found: Features, feature: int, most: int, *, up: bool = True) -> list[str]:
    """The tokens whose logits a feature raises most, or lowers."""
    effects = logit_effects(context.model, found.autoencoder.decoder[feature])
    return [context.tokenizer.label(id_) for id_ in effects.topk(min(most, len(effects)), largest=up).indices.tolist()]


@torch.no_grad()
def ablation(context: ExperimentContext, found: Features, feature: int, seen: Activity) -> tuple[Spread, Spread]:
    """What it adds to the loss, over windows in which the feature is active, to take its part out of the stream, and the control:
    what is as long in a direction by chance. Both 0 where it never is."""
    rows = (seen.of(feature) > 0).any(1).nonzero()[:64, 0]
    if not len(rows):
        return (0.0, 0.0), (0.0, 0.0)
    windows, model = seen.ids[rows].numpy(), found.autoencoder
    loss, costs = window_losses(context.model, windows), list[Spread]()
    stream = later_stream(context.model, seen.ids[rows], found.layer)
    for direction in (model.decoder[feature], chance_directions(stream, context.sampling.seed)[0]):

        def without(x: Tensor, direction: Tensor = direction) -> Tensor:
            values, chosen = model.encode(x.flatten(0, 1))
            return x - (values * (chosen == feature)).sum(-1).view(*x.shape[:2], 1) * direction

        costs.append(_spread(window_losses(context.model, windows, replaced(found.layer, without)) - loss))
    return costs[0], costs[1]


class Place(NamedTuple):
    """A place where a feature is strong: its activation, and the text up to the token, the token, and the text after it."""

    activation: float
    before: str
    token: str
    after: str


class FeatureCard(NamedTuple):
    feature: int
    active: float
    """Share of places."""
    strongest: list[Place]
    weaker: list[Place]
    """At a quarter, half and three quarters of all places where it is active, from the strongest down."""
    raises: list[str]
    lowers: list[str]
    """The tokens whose logits its direction raises and lowers most."""
    ablated: Spread
    ablated_by_chance: Spread
    """Nats; see `ablation`."""


def feature_card(context: ExperimentContext, found: Features, feature: int) -> FeatureCard:
    """What a feature is about. Its strongest places are of windows apart, so that one passage does not fill the list.

    Raises: UserError: if there is no such feature.
    """
    if not 0 <= feature < found.record.features:
        raise UserError(
            f"There is no such feature after layer {found.record.layer}; features are 0 to {found.record.features - 1}."
        )
    seen = activity(context, found)
    values, decode = seen.of(feature), context.tokenizer.decode

    def place(row: int, here: int) -> Place:
        ids = seen.ids[row].tolist()
        texts = (ids[max(0, here - AROUND) : here], [ids[here]], ids[here + 1 : here + 1 + AROUND // 2])
        return Place(float(values[row, here]), *(decode(each).replace("\n", "⏎") for each in texts))

    best, at = values.max(1)
    strongest = [place(row, int(at[row])) for row in best.argsort(descending=True)[:PLACES].tolist() if best[row] > 0]
    active = values.nonzero()
    by_strength = active[values[values > 0].argsort(descending=True)].tolist()
    weaker = [place(*by_strength[int(part * len(by_strength))]) for part in WEAKER if by_strength]
    raises, lowers = (changed_most(context, found, feature, LOGITS, up=up) for up in (True, False))
    own, chance = ablation(context, found, feature, seen)
    return FeatureCard(feature, float((values[:, 1:] > 0).double().mean()), strongest, weaker, raises, lowers, own, chance)


class TokenParts(NamedTuple):
    """The stream at one place as features: each one's share of it, which with the error's add up to 1."""

    features: list[tuple[int, float, float]]
    """Number, activation, share, from the strongest down."""
    error: float


@torch.no_grad()
def token_parts(found: Features, stream: Tensor) -> TokenParts:
    """The shares of a stream vector (C,), less the bias: of each part its projection on it, over its squared length."""
    values, chosen = found.autoencoder.encode(stream[None])
    whole_ = stream - found.autoencoder.bias
    shares = values[0] * (found.autoencoder.decoder[chosen[0]] @ whole_) / whole_.square().sum().clamp(min=1e-12)
    active = [each for each in zip(chosen[0].tolist(), values[0].tolist(), shares.tolist(), strict=True) if each[1] > 0]
    return TokenParts(active, 1 - sum(each[2] for each in active))
