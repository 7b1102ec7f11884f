"""`llmlab notes`: print one's own notes, or say where they are."""

from contextlib import suppress

import click


@click.command(short_help="Print your notes.")
@click.option("--path", "as_path", is_flag=True, help="Print the path of the file, for an editor or a search.")
def notes(as_path: bool) -> None:
    """Print the notes that ctrl+o writes in the lab: one Markdown file, which any editor can change."""
    from lab.core.errors import UserError
    from lab.lessons.learner_notes import notes_path, prepare_notes, read_notes
    from lab.runs.home_folder import home

    if as_path:
        with suppress(UserError):  # where nothing can be read or written it is told, too
            if read_notes(home()):
                prepare_notes(home())  # there may be those of an earlier llmlab alone
        click.echo(str(notes_path(home())))
    else:
        click.echo(read_notes(home()).rstrip("\n") or "No notes yet: ctrl+o in the lab writes one about what is in view.")
