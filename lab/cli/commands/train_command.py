"""`llmlab train`: make a run, start its trainer and follow it."""

import shlex
import sys
from contextlib import suppress
from functools import partial
from typing import Any

import click

from lab.cli.command_registry import Within
from lab.cli.completion import RUN, TEXT
from lab.cli.follow_run import following_options, shows_bar, start_and_follow
from lab.cli.output import passing_bar
from lab.core.errors import UserError
from lab.core.limits import LIMITS
from lab.core.number_format import bytes_, count, counted, whole
from lab.core.visible_text import visible
from lab.planning.settings_table import SETTINGS
from lab.runs.home_folder import home
from lab.runs.run_folder import Run
from lab.runs.run_schema import DEFAULT_RULES, DataConfig
from lab.runs.schema_parts import LAST_TENTH
from models.parameter_count import parameter_count


def setting_options(command: Any) -> Any:
    """An option for each setting of a run, in the order of their table."""
    for setting in reversed([setting for setting in SETTINGS.values() if setting.on_command_line]):
        flag = "--" + setting.name.replace("_", "-")
        default = f" [default: {setting.default}]" if setting.default else ""
        kind: Any = click.Choice(setting.choices) if setting.kind == "choice" and setting.metavar is None else str
        metavar = setting.metavar
        kind = TEXT if metavar == "FILE" else kind
        if setting.kind in ("whole", "real"):
            limit = LIMITS["vocab_size" if setting.name == "vocab" else setting.name]
            kind, metavar = Within(limit, whole=setting.kind == "whole"), "N"
        command = click.option(flag, type=kind, metavar=metavar, help=f"{setting.help}.{default}")(command)
    return command


@click.command(short_help="Train a GPT-2 on a text.")
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True, type=TEXT)
@click.option("--from", "start", type=RUN, help="Begin with the weights of RUN, its shape and its tokenizer.")
@setting_options
@click.option(
    "--prompt", "prompts", multiple=True, metavar="TEXT", help="Prompt for the samples at evaluations; may be repeated."
)
@click.option("--no-start", is_flag=True, help="Make the run, for `llmlab resume` or torchrun to train, and return.")
@following_options
def train(
    texts: tuple[str, ...], steps: int | None, minutes: float | None, no_start: bool, detach: bool, quiet: bool, **options: Any
) -> int:
    """Train a GPT-2 on TEXT: the path of a text file, - for standard input, or a built-in text, `stories` or `python`.

    TEXT may also be a folder, of which all text files are read, or a pattern in quotes, such as 'notes/**/*.md'. Several files
    are documents, read in this order and sorted by name within a folder, with an end-of-text token between each two.

    With --from, training begins with the best weights of another run, such as an imported gpt2, and its tokenizer. The default
    is then AdamW at a tenth of the usual learning rate, so that the weights do not lose what they hold. Of the shape only a
    shorter --context can be chosen.

    Training runs in a separate process. This command follows it and returns when it ends; Ctrl-C, or closing the terminal, ends
    the following only. `llmlab stop RUN` stops the training, `llmlab` shows it live.

    The exit code is 0 when training finished or was stopped, 1 when it failed, 2 when it could not be begun.
    """
    if steps is not None and minutes is not None:
        raise click.UsageError("Give --steps or --minutes, not both.")
    if options["gpus"] is not None and options["ranks"] is not None:
        raise click.UsageError("Give --gpus or --ranks, not both.")
    if "" in options["prompts"]:
        raise click.UsageError("The prompt is empty: give it at least one character.")
    context = click.get_current_context()
    for name in ("preset", "tokenizer") if options["start"] is not None else ():
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--from brings the shape and the tokenizer of its run: leave --{name} out.")
    from lab.data.cleaning.rule_registry import parse_rules
    from lab.data.source_files import remember_text
    from lab.data.text_source import joined_source
    from lab.planning.default_hyperparameters import DEFAULT_MINUTES
    from lab.planning.plan_for_minutes import MinutesPlan, plan_facts
    from lab.planning.prepare_run import prepare_run
    from lab.planning.settings_table import AUTO, RunRequest

    text = joined_source(texts)
    cleaning = parse_rules(options.pop("clean") or "")
    asked = {name: value for name, value in options.items() if value is not None}
    asked.setdefault("preset", AUTO)
    has_length = steps is not None or minutes is not None
    minutes = minutes if has_length else DEFAULT_MINUTES
    request = RunRequest(text=text, steps=steps, minutes=minutes, clean=cleaning, **asked)
    plans: list[MinutesPlan] = []
    with passing_bar(sys.stdout, is_shown=shows_bar(quiet)) as show:
        told = partial(tell_of_waiting, text)
        run = prepare_run(request, lambda progress: show(progress.words, progress.fraction), told, plans.append)
    with suppress(UserError):  # a convenience of the lab's Data screen
        remember_text(home(), run.config.data.source, asked.get("encoding", ""))
    click.echo(description(run))
    for label, line in plan_facts(plans[0]) if plans else ():
        click.echo(f"{label:<12}  {line}")
    if not plans and not has_length:
        click.echo(f"{DEFAULT_MINUTES:g} minutes, since no length was given; --steps and --minutes choose another.")
    if not no_start:
        return start_and_follow(run, after=-1, detach=detach, quiet=quiet)
    quoted, ranks = shlex.quote(run.name), run.config.train.ranks
    launcher = f"python -P -m lab.training.distributed.launcher --standalone --nproc-per-node {ranks} {quoted}"
    other = f", and so does `{launcher}`, with the options of torchrun" if ranks > 1 else ""
    click.echo(f"It does not train yet: `llmlab resume {quoted}` starts it{other}.")
    return 0


def tell_of_waiting(source: str) -> None:
    """Say on stderr that a text is a named pipe, and waited for."""
    pipe = "one of the texts" if "\n" in source else visible(source)
    click.echo(f"llmlab: {pipe} is a named pipe; waiting for a program to write to it. Ctrl-C ends this.", err=True)


def description(run: Run) -> str:
    """A run's text, the copied share of its validation part and its model, a line each; and what was left out of its folders."""
    from lab.data.statistics.copied_share import describe_copied

    config = run.config
    data, model = config.data, config.model
    size = f"{whole(data.documents)} documents, {bytes_(data.bytes)}" if data.documents > 1 else bytes_(data.bytes)
    left_out = f"\nLeft out: {data.left_out}." if data.left_out else ""
    raw = data.funnel[0].bytes_in if data.funnel else data.bytes
    rules = [rule for rule in data.cleaning if rule not in DEFAULT_RULES]
    cleaned = f"\nCleaned by {', '.join(rules)}: {bytes_(data.bytes)} of {bytes_(raw)} kept." if rules else ""
    held = whole(data.tokens - data.split)
    which = f"{held} of them" if data.holdout != LAST_TENTH else f"the last {held}"
    where = f" ({data.holdout.in_words})" if data.holdout != LAST_TENTH else ""
    copied = f"{words}.\n" if (words := describe_copied(data.copied)) else ""
    start, train = config.start, config.train
    begin = f"It begins with the weights of {start.base} (step {start.base_step})" if start else ""
    begun = f"\n{begin}, with {train.optimizer} at up to {train.lr:g}." if start else ""
    return (
        f"{data.name}: {size}, {whole(data.tokens)} tokens of a vocabulary of {whole(model.vocab_size)}, "
        f"{which} for validation{where}{evaluated_on(data)}\n{copied}"
        f"{run.name}: {counted(model.layers, 'layer')}, {counted(model.heads, 'head')}, "
        f"width {model.width}, context {model.context}, "
        f"{count(parameter_count(model))} parameters{cleaned}{left_out}{begun}"
    )


def evaluated_on(data: DataConfig) -> str:
    """The validation text of evaluations: `evaluated on 32,841 of their 111,540 bytes, at the end on all`."""
    if data.evaluated is None or data.final is None:
        return ""
    if data.evaluated.bytes == data.val_bytes:
        return f", {whole(data.val_bytes)} bytes, on which it is evaluated"
    final = "all" if data.final.bytes == data.val_bytes else whole(data.final.bytes)
    return f": evaluated on {whole(data.evaluated.bytes)} of their {whole(data.val_bytes)} bytes, at the end on {final}"
