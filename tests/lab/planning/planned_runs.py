"""Planned runs, and runs of the past that they are compared with, as plain data."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from lab.core.machine import Machine
from lab.planning.resolve_run import ResolvedRun, TextSize
from lab.planning.settings_form import Plan, make_plan
from lab.planning.settings_table import Settings
from lab.runs.run_summary import RunSummary
from models.parameter_count import flops_per_token

TEXT = TextSize("stories", None, 1_000_000, 250_000)
MACHINE = Machine(processor="a processor", cores=2, memory=8_000_000_000, gpu=None)


def plan_of(settings: Settings, text: TextSize = TEXT, memory: int = 10**15) -> Plan:
    return make_plan(settings, text, replace(MACHINE, memory=memory))


def resolved(settings: Settings, text: TextSize = TEXT) -> ResolvedRun:
    """The run that the form stands for, whatever is wrong with it."""
    run = plan_of(settings, text).run
    assert run is not None
    return run


MICRO = Settings(preset="micro", length="2000")

PLANNED = resolved(Settings(length="100"))
"""Micro, 16 windows of 128 tokens, with Muon."""


def past_run(
    name: str,
    tokens_per_second: float | None,
    flops: int,
    *,
    is_bundled: bool = False,
    owner: str = "",
    device: str = "cpu",
    **train: Any,
) -> RunSummary:
    """A run of micro's shape in the planned way, except for what is said."""
    model = PLANNED.model
    if flops != flops_per_token(model):
        model = replace(model, width=8)
    return RunSummary(
        name,
        Path(name),
        "text",
        "finished",
        "",
        step=100,
        mean_speed=tokens_per_second,
        flops_per_token=flops,
        is_bundled=is_bundled,
        owner=owner,
        device=device,
        model=model,
        train=msgspec.structs.replace(PLANNED.train, **train),
    )
