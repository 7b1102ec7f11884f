"""`llmlab write`: exercises, functions of a model that the learner writes, checked on a model's own numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from lab.cli.command_registry import FAILED, Within
from lab.cli.completion import FILE, RUN
from lab.cli.output import table, wrapped, write_json
from lab.core.errors import UserError
from lab.core.limits import Limit
from lab.core.visible_text import visible
from lab.exercises.exercise import NAMES, YOUR_MODEL, words_of

if TYPE_CHECKING:
    from lab.exercises.check_result import CheckResult

EXERCISE = Within(Limit(1, len(NAMES)))
SECONDS = Within(Limit(0.1, 3600), whole=False)


@click.command(short_help="Write the parts of a model yourself, and have them checked.")
@click.argument("exercise", type=EXERCISE, required=False, metavar="[N]")
@click.option(
    "--check",
    "source",
    is_flag=False,
    flag_value="",
    type=FILE,
    metavar="[FILE]",
    help="Check yours of exercise N, or FILE; a folder with --all.",
)
@click.option("--all", "every", is_flag=True, help="With --check FOLDER: check all its files; a table.")
@click.option("--hint", type=Within(Limit(1, 3)), metavar="1|2|3", help="Show a hint; the third has the lab's own lines.")
@click.option("--use", is_flag=True, help="Put what passes into a model: its logits beside the lab's, its training, a text.")
@click.option("--export", "target", type=FILE, help="Write one file of what passes, my_gpt.py; numbered if it exists.")
@click.option("--anew", is_flag=True, help="Begin the file anew; what it held is kept beside it.")
@click.option("--run", "run_name", default="demo", type=RUN, help="Model whose weights it is checked on. [default: demo]")
@click.option("-p", "--prompt", metavar="TEXT", help="Prompt whose numbers it is checked on. [default: the run's first prompt]")
@click.option("--seconds", type=SECONDS, metavar="S", help="Processor time that a check may take. [default: 2]")
@click.option("--json", "as_json", is_flag=True, help="Print results, the list or the exercise as JSON.")
def write(
    exercise: int | None,
    source: str | None,
    every: bool,
    hint: int | None,
    use: bool,
    target: str | None,
    anew: bool,
    run_name: str,
    prompt: str | None,
    seconds: float | None,
    as_json: bool,
) -> int:
    """List the exercises, or begin number N: a Python file of yours for a function of five to fifteen lines.

    They lead from counting pairs of bytes to writing with a KV cache. A check runs your function on the weights and the prompt of
    a model, compares what it returns with the lab's own, and says which mistake it is where that is known. It runs your own
    code with your rights, in a process with limits; nothing from a text, a run or an import is ever run so. The exit code of a
    check is 1 where it fails.
    """
    from lab.data.default_prompts import first_prompt
    from lab.exercises.check import check_begun, check_file, use_passing
    from lab.exercises.learner_files import begin, begin_anew, file_of, passing, write_folder
    from lab.runs.find_runs import open_run

    folder = write_folder()
    if every and (not source or exercise is not None):
        raise click.UsageError("--all checks a folder: `llmlab write --all --check FOLDER`.")
    if source is not None and exercise is None and not every:
        raise click.UsageError("Say which exercise it is: `llmlab write N --check FILE`; or --all and a folder.")
    if source is not None or use:
        run = open_run(run_name)
        text = first_prompt(run) if prompt is None else prompt
        results, mine = list["CheckResult"](), dict[str, Path]()
        if source is None:
            for result in check_begun(run.path, text, seconds=seconds):
                click.echo(f"Checked first: {_title(result)}{'' if result.passes else ', which does not pass'}", err=True)
            results = [use_passing(passing(folder), run.path, text, seconds=seconds)]
        elif exercise is not None:
            name = NAMES[exercise - 1]
            file = Path(source) if source else file_of(folder, name)
            results = [check_file(name, file, run.path, text, mine=passing(folder), seconds=seconds)]
        else:
            for name in NAMES:
                if (file := file_of(Path(source), name)).exists():
                    results.append(check_file(name, file, run.path, text, mine=mine, seconds=seconds))
                    mine |= {name: file} if results[-1].passes else {}
            if not results:
                raise UserError(f"{visible(source)} has no file of an exercise, such as {words_of(NAMES[0]).file_name}.")
        _tell(results, as_json=as_json, every=every)
        return 0 if all(each.passes and (each.model is None or each.model.is_equal) for each in results) else FAILED
    if target is not None:
        from lab.exchange.export_files import write_new_text
        from lab.exercises.export import my_gpt, whose

        mine = passing(folder)
        written = visible(str(write_new_text(Path(target), my_gpt(mine))[0]))
        click.echo(f"{written} is written: python {written} TEXT\n{whose(mine)}")
        return 0
    if exercise is None:
        _list(folder, as_json=as_json)
        return 0
    name = NAMES[exercise - 1]
    if anew and (kept := begin_anew(folder, name)) is not None:
        click.echo(f"It begins anew; what it held is kept in {visible(str(kept))}.")
    file, words = begin(folder, name), words_of(name)
    if hint is not None:
        click.echo(wrapped(words.hints[hint - 1]))
        return 0
    if as_json:
        facts = {"number": words.number, "title": words.title, "text": words.text, "template": words.template, "file": str(file)}
        write_json(facts)
        return 0
    click.echo(f"{words.number}. {words.title}\n\n{wrapped(words.text)}\n\n{words.template}")
    click.echo(f"Write it in {visible(str(file))}\n`llmlab write {words.number} --check` checks it, `--hint 1` helps.")
    return 0


def _list(folder: Path, *, as_json: bool) -> None:
    from lab.exercises.learner_files import file_of, states

    if as_json:
        facts = [(words_of(name), str(file_of(folder, name)), state) for name, state in states(folder).items()]
        write_json([{"number": each.number, "title": each.title, "file": file, "state": state} for each, file, state in facts])
        return
    found = {words_of(name): state.replace("passes", "✓ passes") for name, state in states(folder).items()}
    rows = [(str(words.number), words.title, state) for words, state in found.items()]
    click.echo(table(("", "exercise", ""), rows, right=(0,)))
    number = next((words.number for words, state in found.items() if "✓" not in state), 0)
    following = f"`llmlab write {number}` shows the next." if number else "All pass."
    click.echo(f"Your files are in {visible(str(folder))}. {following}")


def _title(result: "CheckResult") -> str:
    title = f"{words_of(result.name).number}. {words_of(result.name).title}" if result.name else YOUR_MODEL
    return f"{'✓' if result.passes else '✗'} {title}"


def _as_json(result: "CheckResult") -> dict[str, Any]:
    """A result without its pictures."""
    found: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(result, apart=None))
    return ({"number": words_of(result.name).number} if result.name else {}) | found | {"passes": result.passes}


def _tell(results: "Sequence[CheckResult]", *, as_json: bool, every: bool) -> None:
    if as_json:
        write_json([_as_json(result) for result in results])
        return
    if every:
        told = [(words_of(each.name), "✓" if each.passes else "✗", each.mistake or each.problem) for each in results]
        rows = [(str(words.number), words.title, *rest) for words, *rest in told]
        click.echo(table(("", "exercise", "", ""), rows, right=(0,)))
        return
    for result in results:
        click.echo(_title(result))
        for sentence in result.model.in_words() if result.model is not None else ():
            click.echo(wrapped(visible(sentence, keep="\n")))
        for case in result.cases:
            click.echo(f"  {case.mark} {case.name}")
        for sentence in filter(None, (result.mistake, result.problem)):
            click.echo(wrapped(visible(sentence)))
        for line in result.traceback:
            click.echo(f"  {visible(line)}")
        for text in result.output:
            click.echo(text)
