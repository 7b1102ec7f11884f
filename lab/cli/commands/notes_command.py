"""`llmlab notes`: list one's own notes, or say where they are."""

import click

from lab.cli.output import table, write_json
from lab.core.number_format import date_and_time


@click.command(short_help="List your notes.")
@click.option("--path", "as_path", is_flag=True, help="Print the folder of the notes, for an editor or a search.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def notes(as_path: bool, as_json: bool) -> None:
    """List the notes that ctrl+o writes in the lab, newest first, with the place that each is about.

    Each is a Markdown file, which any editor can read and change. In the lab, Learn lists them and leads back to their
    places.
    """
    from lab.lessons.learner.notes import list_notes, notes_folder
    from lab.runs.home_folder import home

    if as_path:
        click.echo(str(notes_folder(home())))
        return
    found = list_notes(home())
    if as_json:
        names = ("created", "place", "state", "text", "problem")
        write_json([{"path": str(note.path)} | {name: getattr(note, name) for name in names} for note in found])
    elif not found:
        click.echo("No notes yet: ctrl+o in the lab writes one about what is in view.")
    else:
        rows = [
            (
                date_and_time(note.created),
                note.place or note.path.name,
                f"damaged: {note.path.name} {note.problem}" if note.problem else note.first_line,
            )
            for note in found
        ]
        click.echo(table(("written", "place", "note"), rows))
