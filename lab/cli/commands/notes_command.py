"""`llmlab notes`: print one's own notes, or say where they are."""

import click


@click.command(short_help="Print your notes.")
@click.option("--path", "as_path", is_flag=True, help="Print the path of the file, for an editor or a search.")
def notes(as_path: bool) -> None:
    """Print the notes that ctrl+o writes in the lab: one Markdown file, which any editor can change."""
    from lab.lessons.notes import prepare_notes, read_notes
    from lab.runs.home_folder import home

    if as_path:
        click.echo(str(prepare_notes(home())))
    else:
        click.echo(read_notes(home()).rstrip("\n") or "No notes yet: ctrl+o in the lab writes one about what is in view.")
