"""`llmlab cache`: show or empty what earlier preparations of a text left for the next one."""

import click

from lab.cli.output import write_json
from lab.core.number_format import bytes_, counted


@click.command(short_help="Show or empty the cache of prepared texts.")
@click.option("--empty", "emptied", is_flag=True, help="Remove it all, and what was measured of earlier runs and steps.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cache(emptied: bool, as_json: bool) -> None:
    """Show where prepared texts are kept, and how much they take. With them, a run on the same text and settings starts at once.

    Runs have copies of their own, so that emptying the cache changes none. It empties itself, the oldest first, before it
    takes more than its bound or a tenth of the free disk.
    """
    from lab.planning.preparation_cache import MOST_BYTES, PreparationCache
    from lab.planning.step_time import TIMES
    from lab.planning.text_difficulty import OUTCOMES, PILOTS
    from lab.runs.home_folder import home

    kept = PreparationCache(home())
    freed = kept.empty() if emptied else 0
    outcomes, times, pilots = (each.forget(home()) if emptied else 0 for each in (OUTCOMES, TIMES, PILOTS))
    if as_json:
        forgotten = {"outcomes_forgotten": outcomes, "step_times_forgotten": times, "pilots_forgotten": pilots}
        write_json({"path": str(kept.folder), "bytes": kept.size(), "most_bytes": MOST_BYTES, "freed_bytes": freed} | forgotten)
    elif emptied:
        click.echo(f"{kept.folder}: {bytes_(freed)} freed.")
        if outcomes or times or pilots:
            measured = f"{counted(outcomes, 'outcome')} of earlier runs, {counted(times, 'time')} of a step"
            click.echo(f"Forgotten: {measured} and {counted(pilots, 'pilot')} of texts, by which runs were planned.")
    else:
        click.echo(f"{kept.folder}: {bytes_(kept.size())}, at most {bytes_(MOST_BYTES)}.")
