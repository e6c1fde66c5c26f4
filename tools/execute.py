"""Run chapters top to bottom in a fresh kernel on the CPU and store their outputs beside the source.

    python tools/execute.py                  # every chapter
    python tools/execute.py 04_sampling      # one; "04" does as well

A chapter that fails is reported and its stored notebook stays as it was.
"""

import os
import sys
import time
from pathlib import Path

import chapters
import console
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

# The stored outputs are those of a CPU without progress bars; the tests run the cells under the same two settings.
KERNEL_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "TQDM_DISABLE": "1"}
CELL_TIMEOUT = 900  # seconds


def execute(source: Path) -> float:
    """Run one chapter, store the notebook, return the seconds it took (starting the kernel included)."""
    notebook = chapters.to_notebook(source)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        record_timing=False,  # no time stamps in the notebook
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # the kernel warns on the terminal about its local socket
        resources={"metadata": {"path": str(source.parent)}},
    )
    started = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - started
    notebook.metadata = chapters.to_notebook(source).metadata  # nbclient adds the Python version
    chapters.write(notebook, source.with_suffix(".ipynb"))
    return seconds


def choose(names: list[str]) -> list[Path]:
    """The sources whose names begin with one of `names`; all of them without names."""
    known = chapters.sources()
    stems = [Path(name).stem for name in names]
    missing = [stem for stem in stems if not any(source.stem.startswith(stem) for source in known)]
    if missing or not known:
        found = ", ".join(source.stem for source in known) or "none"
        sys.exit(f"no such chapter: {', '.join(missing) or 'book/NN_name.py'}. Known: {found}")
    return [source for source in known if not stems or source.stem.startswith(tuple(stems))]


def main(names: list[str]) -> int:
    os.environ.update(KERNEL_ENVIRONMENT)
    import matplotlib.font_manager  # noqa: F401  (its first import on a machine prints; not into a chapter, then)

    failed = 0
    for source in choose(names):
        print(f"{source.stem} ...", end=" ", flush=True)
        try:
            print(f"{execute(source):.0f} s", flush=True)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed += 1
            print(f"failed, nothing stored:\n{error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    console.degrade()
    sys.exit(main(sys.argv[1:]))
