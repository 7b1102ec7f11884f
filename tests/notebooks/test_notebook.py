"""The notebook that the README names runs, and shows what it says."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("from_python.ipynb")


def test_the_notebook_runs_from_top_to_bottom_and_shows_tables(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without its outputs"
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    shown = [output.data for output in outputs if output.output_type == "execute_result"]
    tables = [data for data in shown if "text/html" in data]
    assert len(tables) == 5, "a run, a prediction, an attention, a lens, BPE"
    assert all("<table>" in data["text/html"] and "| --- |" in data["text/markdown"] for data in tables)
    assert "torch.Size([4, 4, 4])" in shown[-1]["text/plain"]
