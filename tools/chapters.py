"""The chapters as files: where they lie, how a py:percent source becomes a notebook, and where the two disagree.

One writes book/NN_name.py; book/NN_name.ipynb is made from it (tools/execute.py) and holds the outputs.
"""

import hashlib
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from coldlab import storage

ROOT = Path(__file__).resolve().parents[1]
INSTALL_CELL = Path(__file__).with_name("install_cell.py")
INSTALL_TAGS = ["colab", "hide-cell"]

# What Colab and Jupyter read. The Python version is left out on purpose: it would change with the machine that ran.
METADATA = {
    "colab": {"provenance": [], "toc_visible": True},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


def sources(root: Path = ROOT) -> list[Path]:
    """The py:percent source of every chapter, in the book's order."""
    return sorted((root / "book").glob("[0-9][0-9]_*.py"))


def read(path: Path) -> NotebookNode:
    """Read either half of a pair as a notebook."""
    return jupytext.read(path)


def to_notebook(source: Path) -> NotebookNode:
    """The notebook that a chapter's source describes, not yet run.

    A header `# jupyter: {accelerator: GPU}` in the source asks Colab for a GPU.
    """
    notebook = read(source)
    accelerator = {key: notebook.metadata[key] for key in ("accelerator",) if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict(accelerator | METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    set_ids(notebook)
    return notebook


def set_ids(notebook: NotebookNode) -> None:
    """Name each cell after its content, so that a run changes no identifier and an edit changes only its own."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        name = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[name] = seen.get(name, 0) + 1
        cell["id"] = name if seen[name] == 1 else f"{name}-{seen[name]}"


def write(notebook: NotebookNode, path: Path) -> None:
    """Store a notebook in one step: a reader never meets half of it."""
    nbformat.validate(notebook)
    storage.write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def differences(source: Path, stored: Path) -> list[str]:
    """Where a chapter's source and its stored notebook disagree: cells, their types, tags, identifiers, metadata."""
    expected, found = to_notebook(source), read(stored)
    problems = []
    if len(expected.cells) != len(found.cells):
        problems.append(f"{source.name} has {len(expected.cells)} cells, {stored.name} has {len(found.cells)}")
    for index, (ours, theirs) in enumerate(zip(expected.cells, found.cells, strict=False)):
        for key in ("cell_type", "source", "metadata", "id"):
            if ours.get(key) != theirs.get(key):
                problems.append(f"cell {index}, {key}: {ours.get(key)!r} in {source.name}, {theirs.get(key)!r} stored")
    if expected.metadata != found.metadata:
        problems.append(f"metadata: {dict(expected.metadata)} expected, {dict(found.metadata)} stored")
    return problems
