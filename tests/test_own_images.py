"""Every chapter on somebody's own images: the book says "or the path of a folder", and here that is done.

Two folders: colour photographs of mixed sizes without labels, and grey digits written as files. A chapter's settings
cell (the first with `DATASET =`) is rewritten and all cells run in order, with few steps and small counts. What a cell
shows is formatted as a notebook would, so that what only breaks in a picture is seen too.
"""

import contextlib
import io
import itertools
import re
import sys
import traceback
from dataclasses import dataclass

import chapters
import numpy as np
import pytest
import torch
from PIL import Image
from traitlets.config import Config as Settings

from coldlab import ColdlabError, checkpoints, data, degradations, plots, training
from coldlab.lab import matched, runs

SOURCES = chapters.sources()
FOLDERS = ("photographs", "grey digits")

# Chapter -> its settings in a test: what makes it long, made short. DATASET and NETWORK are set for all chapters.
SHORT = {
    "02_unet": {"STEPS": 2, "BATCH": 8},
    "03_training": {"LOOKS": (2, 4, 12)},
    "09_blur_or_noise": {"SIZE": 16},
}
STEPS = 12  # of each training of the chapters from 4 on, however many they ask for


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """{name: folder}. 60 pieces of scikit-learn's two photographs, none square, and 120 digits as PNG files."""
    from sklearn.datasets import load_sample_images

    root = tmp_path_factory.mktemp("own images")  # with a space, as people have them
    photographs, digits = root / "my photographs", root / "digits"
    photographs.mkdir(), digits.mkdir()
    random = np.random.default_rng(0)
    pagoda_and_flower = load_sample_images().images
    for i in range(60):
        picture = pagoda_and_flower[i % 2]
        height, width = random.integers(40, 90), random.integers(90, 160)
        height, width = (width, height) if i % 3 == 0 else (height, width)
        top, left = (
            random.integers(0, have - want) for have, want in zip(picture.shape, (height, width), strict=False)
        )
        piece = Image.fromarray(picture[top : top + height, left : left + width])
        piece.save(photographs / f"IMG_{i:04d}{('.jpg', '.JPG', '.png')[i % 3]}")
    for i, digit in enumerate(data.load("digits")[0][:120, 0]):
        Image.fromarray(digit.numpy()).save(digits / f"{i:04d}.png")
    return {"photographs": photographs, "grey digits": digits}


@pytest.fixture(scope="session")
def networks(folders, tmp_path_factory):
    """{name: run folder of 20 steps on those images}, at 32 x 32: the photographs differ in size, so one is needed."""
    root = tmp_path_factory.mktemp("runs")
    for name, folder in folders.items():
        config = training.Config(dataset=str(folder), size=32, steps=20, batch=8, width=8, warmup=5)
        config, images = runs.prepare(config)
        D, state = training.start(config)
        for _ in training.train(state, D, images, config):
            pass
        (root / name).mkdir()
        checkpoints.save_weights(root / name / "model.safetensors", state.ema, config)
    return {name: root / name for name in folders}


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """A notebook's kernel without the process around it: `run` gives the errors of a cell, those of its display too."""
    from IPython.core.interactiveshell import InteractiveShell

    class Shell(InteractiveShell):
        def run(self, source):
            self.errors = []
            with contextlib.redirect_stdout(io.StringIO()):
                self.run_cell(source, store_history=True)
            return self.errors

        def showtraceback(self, exc_tuple=None, *args, **options):  # of a cell, or of what formats its last value
            self.errors.append((exc_tuple or sys.exc_info())[1])

        showsyntaxerror = showtraceback

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # a shell puts its own there
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(plots, "DPI", 50)  # nobody looks at them
    known, random = dict(degradations.REGISTRY), torch.get_rng_state()
    settings = Settings()
    settings.HistoryManager.enabled = False
    yield Shell.instance(config=settings)
    Shell.clear_instance()
    degradations.REGISTRY.clear(), degradations.REGISTRY.update(known)  # a chapter's own degradations go with it
    torch.set_rng_state(random)


def briefly(train):
    """The loop, ended after STEPS steps."""
    return lambda *of, **named: itertools.islice(train(*of, **named), STEPS)


@dataclass(eq=False)
class Halve(degradations.Degradation):
    """A degradation that a user has added: not linear, with no z, of one size."""

    size: int
    T: int = 4

    def degrade(self, x0, t, z):
        return x0.clamp(min=-1 + 0.1 * self.at("t", t, x0))

    def __post_init__(self):
        super().__post_init__()
        self.table("t", torch.arange(self.T + 1, dtype=torch.float64))


def with_settings(source, settings):
    """The cell with the right-hand sides of `NAME = ...` replaced; each name must stand at the start of one line."""
    for name, value in settings.items():
        source, found = re.subn(rf"^{name} = [^#\n]*", lambda _, line=f"{name} = {value!r}  ": line, source, flags=re.M)
        assert found == 1, f"the settings cell has {found} lines that begin with {name!r} =, not one:\n{source}"
    return source


def code(source):
    """[(index, code)] of a chapter's cells without the install cell, and which of them has the settings."""
    cells = [(i, cell) for i, cell in enumerate(chapters.to_notebook(source).cells) if cell.cell_type == "code"]
    cells = {i: cell.source for i, cell in cells if "colab" not in cell.metadata.get("tags", [])}
    return cells, next(i for i, text in cells.items() if re.search(r"^DATASET = ", text, flags=re.M))


def told(index, text, errors):
    """A failed cell for whoever mends it: its number among the notebook's cells, the line and the errors."""
    frames = traceback.extract_tb(errors[0].__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename.startswith("<ipython-input")]
    where = f" at {text.splitlines()[lines[0] - 1].strip()!r}" if lines else ""
    return "".join(f"cell {index}{where}\n    {type(error).__name__}: {error}\n" for error in errors)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*dominated by its bias:UserWarning")  # a dozen images are few
@pytest.mark.filterwarnings("ignore:Matrix is singular")  # the covariance of so few
@pytest.mark.filterwarnings("ignore:Attempting to work in a virtualenv")  # another one than is active
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # matplotlib, torch
@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_chapter_on_own_images(source, folder, folders, shell, monkeypatch, request):
    monkeypatch.chdir(source.parent)  # as in a notebook
    cells, first = code(source)
    settings = {"DATASET": str(folders[folder])} | SHORT.get(source.stem, {})
    if source.stem[:2] not in ("02", "03"):
        short = briefly(training.train)
        for module in (training, matched):
            monkeypatch.setattr(module, "train", short)
    if re.search(r"^NETWORK = ", cells[first], flags=re.M):
        settings["NETWORK"] = str(request.getfixturevalue("networks")[folder])
    cells[first] = with_settings(cells[first], settings)
    failed = [(i, text, errors) for i, text in cells.items() if (errors := shell.run(text))]
    if failed:  # the cells below the first are often only its consequence
        pytest.fail(f"{len(failed)} cells of {source.name}\n{''.join(told(*cell) for cell in failed)}", pytrace=False)


@pytest.mark.slow
def test_a_network_of_other_images_is_refused_in_one_sentence(folders, shell):
    """What meets a reader who changes DATASET and forgets NETWORK."""
    source = next(source for source in SOURCES if source.stem.startswith("04"))
    cells, first = code(source)
    cells[first] = with_settings(cells[first], {"DATASET": str(folders["photographs"])})
    errors = next(errors for text in cells.values() if (errors := shell.run(text)))
    assert [type(error) for error in errors] == [ColdlabError]
    assert re.search(r"takes \(B, 1, H, W\) images, not \(6, 3, 32, 32\); .*coldlab train", str(errors[0]))
