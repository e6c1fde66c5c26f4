"""How `pytest --nbval` runs the chapters: on the CPU, without progress bars, as tools/execute.py ran them."""

import gc
import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several workers share the cores: a thread each, before torch is imported
    os.environ["OMP_NUM_THREADS"] = "1"
# Workers and kernels keep some memory of large tensors, which glibc would give back after each operation and ask for
# again: a batch of 256 faces goes through a network in three quarters of the time.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(128 * 2**20))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(512 * 2**20))
# Python looks for cycles in all that torch, sympy and four thousand tests keep: less often here, which is some seconds
# of every hundred, for no more memory.
gc.set_threshold(5_000, 10, 50)


# What takes minutes is begun first, so that no worker is left alone with it at the end.
LONG = [
    "own_images",
    "08_transforms",
    "pages",
    "samplers_everywhere",
    "03_training",
    "02_unet",
    "09_blur_or_noise",
    "reproduce",
]


def pytest_configure(config):
    config.option.loadscopereorder = False  # pytest-xdist would begin with the files that have the most tests


def pytest_collection_modifyitems(items):
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem.removeprefix("test_"), len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Notebook cells see the kernel's environment; ordinary tests keep theirs, a GPU included."""
    if not hasattr(item, "cell"):
        return (yield)
    from execute import KERNEL_ENVIRONMENT  # here: workers are not kept waiting until the one who starts them has torch

    with pytest.MonkeyPatch.context() as patch:
        for name, value in KERNEL_ENVIRONMENT.items():
            patch.setenv(name, value)
        return (yield)


def pytest_sessionstart(session):
    """Build matplotlib's font cache now: a machine's first import prints a line that would count as a cell's output."""
    if session.config.getoption("--nbval"):
        import matplotlib.font_manager  # noqa: F401
