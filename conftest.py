"""How `pytest --nbval` runs the chapters: on the CPU, without progress bars, as tools/execute.py ran them."""

import os

import pytest
from execute import KERNEL_ENVIRONMENT

if "PYTEST_XDIST_WORKER" in os.environ:  # several workers share the cores: a thread each, before torch is imported
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Notebook cells see the kernel's environment; ordinary tests keep theirs, a GPU included."""
    if not hasattr(item, "cell"):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KERNEL_ENVIRONMENT.items():
            patch.setenv(name, value)
        return (yield)


def pytest_sessionstart(session):
    """Build matplotlib's font cache now: a machine's first import prints a line that would count as a cell's output."""
    if session.config.getoption("--nbval"):
        import matplotlib.font_manager  # noqa: F401
