"""`llmlab claims`: check the claims of a learner's notes on a run's model."""

from typing import TYPE_CHECKING

import click

from lab.cli.completion import RUN
from lab.cli.model_options import checkpoint_option, told_weights
from lab.cli.output import write_json, write_raw
from lab.core.errors import UserError
from lab.core.visible_text import quoted

if TYPE_CHECKING:
    from lab.lessons.claim import CheckedClaim

WIDTH = 80
"""Columns of the text."""


@click.command(short_help="Check the claims of a learner's notes on a model.")
@click.argument("run", default="demo", type=RUN)
@click.option("--only", metavar="NAME", help="Check this claim alone; --json lists the names.")
@checkpoint_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON with the verdicts and all that was measured.")
def claims(run: str, only: str | None, checkpoint: str | None, as_json: bool) -> None:
    """Check what notes of a lecture on language models often say, each claim by an experiment on the model of RUN (demo).

    For each: the claim, its verdict, the note that holds, and what was measured.
    """
    from lab.core.machine import cores, refuse_without_room_for_torch
    from lab.data.default_prompts import first_prompt
    from lab.lessons.claim import CheckedClaim, check_claim, load_claims
    from lab.runs.find_runs import open_run

    found = load_claims()
    if only is not None:
        if only not in [claim.name for claim in found]:
            raise UserError(f"There is no claim called {quoted(only)}; llmlab claims --json lists their names.")
        found = [claim for claim in found if claim.name == only]
    opened_run = open_run(run)
    prompt = first_prompt(opened_run)
    refuse_without_room_for_torch()
    import torch

    from lab.experiments.experiment_context import ExperimentContext
    from lab.experiments.experiment_registry import run_experiment
    from lab.inspect.model_cache import ModelCache
    from lab.planning.device import generation_threads

    models, listed = ModelCache(), []
    opened = models.model(run, told_weights(opened_run, checkpoint))
    torch.set_num_threads(generation_threads(opened.model.config, cores()))
    for claim in found:
        ids = opened.tokenizer.encode(claim.prompt or prompt)
        context = ExperimentContext(opened, models.traces, ids, inputs=claim.inputs)
        try:
            with torch.no_grad():
                measured = run_experiment(claim.experiment, context) if claim.experiment else None
            checked = check_claim(claim, measured)
        except UserError as error:
            checked = CheckedClaim(claim, "unchecked", str(error))
        if as_json:
            listed.append(_as_json(checked))
        else:
            write_raw(_as_text(checked))
    if as_json:
        write_json(listed)


def _as_text(checked: "CheckedClaim") -> str:
    """The claim and its verdict, then indented the note that holds, the explanation and the sources."""
    from lab.lessons.claim import TITLES

    label = "In the notes" if checked.verdict == "true" else "Write instead"
    parts = [checked.reason, f"{label}: {checked.instead()}" if checked.instead() else "", checked.explanation()]
    parts += [f"Source: {source}" for source in checked.claim.sources]
    paragraphs = [paragraph for part in parts for paragraph in part.split("\n\n") if paragraph]
    lines = [click.wrap_text(f"{checked.mark} {TITLES[checked.verdict]}: {checked.claim.title}", WIDTH, "", "  ")]
    lines += [click.wrap_text(paragraph, WIDTH, "  ", "  ") for paragraph in paragraphs]
    return "\n".join(lines) + "\n\n"


def _as_json(checked: "CheckedClaim") -> dict[str, object]:
    claim = checked.claim
    return {
        "claim": claim.name,
        "title": claim.title,
        "verdict": checked.verdict,
        "reason": checked.reason,
        "write_instead": checked.instead(),
        "explanation": checked.explanation(),
        "sources": list(claim.sources),
        "experiment": claim.experiment,
        "measures": dict(checked.measures),
    }
