"""Checks of a request that need no text: name, preset, length, bounds, vocabulary, shape, prompts, device and memory."""

import os

from lab.core.errors import UserError
from lab.core.limits import LIMITS, SMALLEST_VOCABULARY, VOCABULARY
from lab.core.machine import has_mps, machine
from lab.core.visible_text import quoted
from lab.planning.device import check_device, check_memory
from lab.planning.resolve_run import TextSize, resolve
from lab.planning.run_request import RunRequest, SettingError
from lab.runs.home_folder import check_name, home
from lab.runs.metrics_log import check_log_to
from models.config import FIXED_VOCABULARY_SIZES, PRESETS


def check_request(request: RunRequest) -> None:
    """Check everything that can be known without the text. Raises UserError about the first mistake."""
    check_new_name(request)
    if request.preset not in PRESETS:
        raise SettingError("preset", f"There is no preset called {request.preset!r}; choose one of {', '.join(PRESETS)}.")
    if request.steps is not None and request.minutes is not None:
        raise SettingError("length", "Training ends after a number of steps or of minutes; give only one of them.")
    for name, limit in LIMITS.items():
        value = getattr(request, name, None)
        if value is not None and (problem := limit.problem(value)):
            raise SettingError(name, f"{name.replace('_', ' ')} must {problem}, not {value}.")
    if request.validation == "":
        raise SettingError("validation", "The name of the text for validation is empty; leave it out for a part of the text.")
    if request.validation is not None and (request.val_share is not None or request.split_seed is not None):
        sentence = "A text of its own for validation is used whole: give no share of the text and no seed of its split with it."
        raise SettingError("validation", sentence)
    _check_vocabulary(request)
    smallest = FIXED_VOCABULARY_SIZES.get(request.tokenizer) or request.vocab or SMALLEST_VOCABULARY
    run = resolve(request, TextSize(request.text, vocab_size=smallest), machine())
    for prompt in request.prompts:
        if any("\ud800" <= character <= "\udfff" for character in prompt):
            raise UserError(f"The prompt {quoted(prompt)} is not UTF-8; type it in a terminal that writes UTF-8.")
    if run.train.precision == "fp16" and (run.train.device == "mps" or (run.train.device == "auto" and has_mps())):
        raise SettingError("precision", "fp16 with a scaled loss is for an NVIDIA GPU or a CPU; choose auto, fp32 or bf16.")
    check_device(run.train.device)
    check_log_to(run.train.log_to)
    check_memory(run.model, run.train.device)


def check_new_name(request: RunRequest) -> None:
    """Check that the run can have the name that was asked for, if one was.
    Raises UserError if it cannot be a run's name, or is taken."""
    if request.name is not None and os.path.lexists((request.home or home()) / check_name(request.name)):
        raise SettingError("name", f"There is a run called {request.name} already; choose another name.")


def _check_vocabulary(request: RunRequest) -> None:
    if request.vocab is None:
        return
    if request.tokenizer == "bpe":
        if request.vocab < SMALLEST_VOCABULARY:
            sentence = f"A bpe vocabulary holds the 256 bytes and at least one merge, so {request.vocab} is too small."
            raise SettingError("vocab", sentence)
        if problem := VOCABULARY.problem(request.vocab):
            raise SettingError("vocab", f"vocab must {problem}, not {request.vocab}.")
    elif request.vocab != (fixed := FIXED_VOCABULARY_SIZES[request.tokenizer]):
        sentence = f"The {request.tokenizer} tokenizer has {fixed} tokens, whatever the text; only bpe can have {request.vocab}."
        raise SettingError("vocab", sentence)
