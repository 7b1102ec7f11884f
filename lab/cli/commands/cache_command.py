"""`llmlab cache`: show or empty what earlier preparations of a text left for the next one."""

import click

from lab.cli.output import write_json
from lab.core import number_format


@click.command(short_help="Show or empty the cache of prepared texts.")
@click.option("--empty", "emptied", is_flag=True, help="Remove it all, and the outcomes that correct expectations.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cache(emptied: bool, as_json: bool) -> None:
    """Show where prepared texts are kept, and how much they take. With them, a run on the same text and settings starts at once.

    Runs have copies of their own, so that emptying the cache changes none. It empties itself, the oldest first, before it
    takes more than its bound or a tenth of the free disk.
    """
    from lab.planning.best_for_minutes.earlier_outcomes import forget_outcomes
    from lab.planning.preparation.preparation_cache import MOST_BYTES, PreparationCache
    from lab.runs.home_folder import home

    kept = PreparationCache(home())
    freed = kept.empty() if emptied else 0
    forgotten = forget_outcomes(home()) if emptied else 0
    if as_json:
        write_json({"path": str(kept.folder), "bytes": kept.size(), "most_bytes": MOST_BYTES, "freed_bytes": freed})
    elif emptied:
        click.echo(f"{kept.folder}: {number_format.bytes_(freed)} freed.")
        if forgotten:
            outcomes = number_format.counted(forgotten, "outcome")
            click.echo(f"Forgotten: {outcomes} of earlier runs, by which expectations were corrected.")
    else:
        click.echo(f"{kept.folder}: {number_format.bytes_(kept.size())}, at most {number_format.bytes_(MOST_BYTES)}.")
