"""`llmlab notes`: print one's own notes, or say where they are."""

import click


@click.command(short_help="Print your notes.")
@click.option("--path", "as_path", is_flag=True, help="Print the path of the file, for an editor or a search.")
def notes(as_path: bool) -> None:
    """Print the notes that ctrl+o writes in the lab: one Markdown file, which any editor can change."""
    from lab.lessons.notes import notes_path, read_notes
    from lab.runs.home_folder import home

    text = read_notes(home())  # before the path is told: it makes the file of what an earlier llmlab kept
    if as_path:
        click.echo(str(notes_path(home())))
    else:
        click.echo(text.rstrip("\n") or "No notes yet: ctrl+o in the lab writes one about what is in view.")
