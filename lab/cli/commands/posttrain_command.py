"""`llmlab posttrain`: turn a base model into one that answers questions, and follow it."""

import shlex
import time
from typing import TYPE_CHECKING, Any

import click

from lab.cli.command_registry import FAILED, INTERRUPTED, Within, complain
from lab.cli.completion import RUN
from lab.cli.output import table_of, wrapped, write_json
from lab.core import number_format
from lab.core.errors import UserError
from lab.core.limits import Limit

if TYPE_CHECKING:
    from lab.training.posttraining.posttraining_record import PosttrainingFollower, PosttrainingHistory

POLL_SECONDS = 0.2
STEPS_A_LINE, ROUNDS_A_LINE = 25, 5
"""Steps and rounds for each of which there is one line."""

PAIRS, ROUNDS, SEED = Within(Limit(1, 100_000)), Within(Limit(0, 100_000)), Within(Limit(0, 1 << 31))
SECONDS, BETA = Within(Limit(1, 1e6), whole=False), Within(Limit(0, 1000), whole=False)


@click.command(short_help="Fine-tune a model on answering questions.")
@click.argument("run", default="demo", type=RUN)
@click.option("--pairs", type=PAIRS, metavar="N", help="Questions with answers to fine-tune on.")
@click.option("--rounds", type=ROUNDS, metavar="N", help="Rounds of reinforcement learning, done twice.")
@click.option("--seconds", type=SECONDS, metavar="S", help="Most seconds for all of it; where they do not suffice, fewer rounds.")
@click.option("--beta", type=BETA, metavar="B", help="Weight of the KL penalty, in reward per nat.")
@click.option("--seed", type=SEED, metavar="N", help="Decides questions, order and sampling.")
@click.option("--show", is_flag=True, help="Show the last result, and start nothing.")
@click.option("--stop", is_flag=True, help="Stop the one that is running.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing before.")
def posttrain(run: str, show: bool, stop: bool, as_json: bool, **asked: Any) -> int:
    """Fine-tune RUN (default: demo) on questions about the built-in text stories, and reinforce it.

    First supervised fine-tuning on questions with answers; then reinforcement learning with a reward for naming the right
    animal: once with a KL penalty that keeps the model near the fine-tuned one, and once without. The three models become runs:
    RUN-sft, RUN-rl and RUN-rl-free. Those of an earlier call are replaced once all three are made.

    It runs in a separate process, with low priority. Ctrl-C, or closing the terminal, ends the following only.
    """
    from lab.runs.find_runs import open_run
    from lab.runs.home_folder import home
    from lab.training.posttraining.posttraining_job import PosttrainingJob, start_posttraining
    from lab.training.posttraining.posttraining_record import PosttrainingFollower, PosttrainSettings

    base = open_run(run)
    job = PosttrainingJob(base.name, home())
    if stop:
        if not job.stop():
            raise UserError(f"{base.name} is not being post-trained now, so there is nothing to stop.")
        click.echo(f"The post-training of {base.name} stops after this round.")
        return 0
    if not show:
        settings = PosttrainSettings(**{name: value for name, value in asked.items() if value is not None})
        start_posttraining(base, home(), settings)
    follower = PosttrainingFollower(job)
    try:
        follow(follower, is_quiet=as_json or show)
    except KeyboardInterrupt:
        name = shlex.quote(run)
        click.echo(
            f"\nIt goes on. `llmlab posttrain {name} --show` shows it, `llmlab posttrain {name} --stop` stops it.", err=True
        )
        return INTERRUPTED
    history = follower.history
    if follower.stage == "none":
        raise UserError(f"{base.name} has not been post-trained yet; `llmlab posttrain {shlex.quote(run)}` does it.")
    is_finished = follower.stage == "finished"
    if history.started is not None:
        if as_json:
            write_json(result(history, is_finished=is_finished))
        else:
            report(history)
    message = history.ended.message if history.ended is not None and is_finished else follower.reason
    if message:
        complain(message)
    return 0 if is_finished else FAILED


def follow(follower: "PosttrainingFollower", *, is_quiet: bool) -> None:
    """Read on until the process has ended, with a line now and then."""
    from lab.training.posttraining.posttraining_views import NAMES, shown_answer

    steps = rounds = 0
    while True:
        follower.read()
        history, is_quiet = follower.history, is_quiet or bool(follower.problem)
        reinforced = [line for lines in history.rounds.values() for line in lines]
        for step in () if is_quiet else history.sft[steps:]:
            if step.step % STEPS_A_LINE == 1 or step.step == step.steps:
                click.echo(f"SFT step {step.step}/{step.steps}  loss {number_format.fixed(step.loss)}")
        for line in () if is_quiet else reinforced[rounds:]:
            if line.round % ROUNDS_A_LINE == 1 or line.round == line.rounds:
                words = (
                    f"{NAMES[line.model]} {line.round}/{line.rounds}",
                    f"reward {number_format.probability(line.reward, 0)}",
                    f"exact {number_format.probability(line.exact, 0)}",
                    f"KL {number_format.fixed(line.kl, 2)}",
                    f"{line.question} {shown_answer(line.answer)}",
                )
                click.echo("  ".join(words))
        steps, rounds = len(history.sft), len(reinforced)
        if not follower.is_running:
            return
        time.sleep(POLL_SECONDS)


def result(history: "PosttrainingHistory", *, is_finished: bool) -> dict[str, Any]:
    assert history.started is not None
    return {
        "base": history.started.base,
        "settings": history.started.settings,
        "evaluations": history.evaluated,
        "rounds": history.rounds,
        "runs": history.saved,
        "seconds": history.ended.seconds if history.ended else None,
        "finished": is_finished,
    }


def report(history: "PosttrainingHistory") -> None:
    from lab.training.posttraining.posttraining_views import comparison_view, rounds_view, sft_view
    from lab.views.blocks import Table

    for view in (sft_view(history), rounds_view(history), comparison_view(history)):
        click.echo(f"\n{view.title}\n{wrapped(view.sentence)}")
        for block in view.blocks:
            if isinstance(block, Table):
                click.echo(f"\n{block.title}" if block.title else "")
                click.echo(table_of(block))
    if history.saved:
        click.echo(f"\nRuns: {', '.join(history.saved.values())}; `llmlab` opens them.")
    if history.ended is not None:
        click.echo(f"It took {number_format.duration(history.ended.seconds)}.")
