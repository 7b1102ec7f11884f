"""Clone a run's settings: as they would be typed into the form of a new run; and check that its text has not changed."""

from typing import Any

from lab.core.errors import UserError
from lab.core.machine import machine
from lab.core.number_format import whole
from lab.data.cleaning.rule_registry import typed_rules
from lab.data.corpus import STDIN, shown_source
from lab.data.text_source import open_corpus, sources_of
from lab.planning.default_hyperparameters import DEFAULT_MINUTES, default_dropout
from lab.planning.resolve_run import TextSize, resolve
from lab.planning.run_request import RunRequest
from lab.planning.settings_table import FORM, Settings
from lab.runs.run_schema import RunConfig, TrainConfig
from lab.runs.schema_parts import LAST_TENTH
from models.config import DEFAULT_PRESET, FIXED_VOCABULARY_SIZES, PRESETS, ModelConfig

SHAPE = ("layers", "heads", "width", "context")


def closest_preset(model: ModelConfig) -> str:
    """The preset with the model's shape, or with most of its numbers."""

    def similarity(name: str) -> tuple[int, bool]:
        return sum(getattr(PRESETS[name], field) == getattr(model, field) for field in SHAPE), name == DEFAULT_PRESET

    return max(PRESETS, key=similarity)


def cloned_settings(config: RunConfig) -> Settings:
    """The form as it would be filled in for this run. Defaults, and the name, are left empty."""
    preset = closest_preset(config.model)
    model, train = config.model, config.train
    shape = {name: getattr(model, name) for name in SHAPE}
    request = RunRequest(text=config.data.source, preset=preset, optimizer=train.optimizer, **shape)
    usual = resolve(request, TextSize(config.data.source, vocab_size=model.vocab_size), machine()).train
    typed = {name: str(value) for name, value in shape.items() if value != getattr(PRESETS[preset], name)}
    if model.dropout != default_dropout(train, model, config.data.split, machine()):
        typed["dropout"] = f"{model.dropout:g}"
    if config.tokenizer.kind not in FIXED_VOCABULARY_SIZES:
        typed["vocab"] = str(config.tokenizer.vocab_size)
    if train.minutes != DEFAULT_MINUTES:
        typed["length"] = f"{train.steps} steps" if train.minutes is None else f"{train.minutes:g} min"
    for setting in FORM:
        asked = getattr(train, setting.name, None)
        if asked is not None and (setting.kind == "choice" or asked != getattr(usual, setting.name)):
            typed[setting.name] = f"{asked:g}" if setting.kind == "real" else str(asked)
    typed["clean"] = typed_rules(config.data.cleaning)
    held = config.data.holdout
    if held.source:
        typed["validation"] = held.source
    else:
        typed["val_share"] = f"{held.share:g}" if held.share != LAST_TENTH.share else ""
        typed["split_seed"] = "" if held.seed is None else str(held.seed)
    return Settings(preset=preset, tokenizer=config.tokenizer.kind, **typed)


def hidden_settings(config: RunConfig) -> dict[str, Any]:
    """The fields of a `RunRequest` that the form does not show, where the run's are not the defaults; and its prompts."""
    usual = TrainConfig()
    hidden = set(RunRequest.__struct_fields__) & set(TrainConfig.__struct_fields__) - {*Settings.__dataclass_fields__}
    start = {"start": config.start.base} if config.start is not None else {}
    values = {name: getattr(config.train, name) for name in sorted(hidden - {"steps", "minutes"})}
    return start | {name: value for name, value in values.items() if value != getattr(usual, name)}


def text_problem(config: RunConfig) -> str:
    """The reason why the run's text cannot be used again, or has changed; empty if it is the same. Reads the whole text."""
    data = config.data
    if not config.has_text:
        return f"{config.name} was imported, without a text: choose one (2)."
    if STDIN in (*sources_of(data.source), *sources_of(data.holdout.source)):
        return f"{data.name} came through standard input and was not kept: choose another text, or pipe it in again."
    try:
        corpus = open_corpus(data.source, data.encoding, cleaning=data.cleaning, holdout=data.holdout)
        facts, other = corpus.measure(), corpus.validation
        if other is not None and other.sha256 != data.holdout.sha256:
            return f"{shown_source(other.source)}, its text for validation, has changed since."
    except UserError:
        return "The text that it learned from cannot be read any more; 2 chooses another."
    if facts.sha256 != data.sha256:
        sizes = f"{whole(data.bytes)} bytes then, {whole(facts.bytes)} now"
        return f"{shown_source(data.source)} has changed since ({sizes}), so that a new run does not compare with the old one."
    return ""
