"""A chapter in Colab, as far as it can be had here: the install cell where only what Colab brings is installed.

The environment is made of links to the distributions of the running one, so that it costs no copy of torch. A git
repository of this tree stands in for the public address, through git's own `insteadOf`.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import chapters
import pytest
import stamp
from nbclient import NotebookClient
from packaging.requirements import Requirement

COLAB = (
    "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "tqdm", "matplotlib", "ipywidgets", "ipykernel",
)  # fmt: skip
HELD = ("torch", "torchvision", "numpy")
KERNEL = "colab-like"
CHAPTER = "01_degradations"
CELL = chapters.INSTALL_CELL.read_text(encoding="utf-8")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def closure(names) -> dict[str, importlib.metadata.Distribution]:
    """The installed distributions among `names` and all that these need."""
    found, waiting, seen = {}, [(name, "") for name in names], set()
    while waiting:
        name, extra = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        for need in map(Requirement, found[name].requires or []):
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                waiting += [(need.name, wanted) for wanted in ("", *need.extras)]
    return found


def environment(folder: Path, names, brought: Path) -> tuple[Path, set[str]]:
    """(its Python, what it finds): an environment with pip and all of `names` that are installed here, without coldlab.

    They lie in `brought`, as links, beside the environment's own packages: what pip replaces comes into the
    environment, and what is installed here stays. uv looks at an environment's own packages only, and such machines
    come without it.
    """
    venv.create(folder, symlinks=True)
    python, found = folder / "bin" / "python", closure([*names, "pip"])
    (folder / "bin" / "uv").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (folder / "bin" / "uv").chmod(0o755)
    if "pip" not in found:  # an environment that uv made
        pip = subprocess.run([python, "-m", "ensurepip"], capture_output=True, text=True, errors="replace")
        if pip.returncode:
            pytest.skip(f"this Python cannot make an environment with pip: {pip.stderr.strip()[-200:]}")
    brought.mkdir()
    for name in found.keys() - {"coldlab"}:
        for entry in {file.parts[0] for file in found[name].files or []} - {"..", "__pycache__"}:
            if not os.path.lexists(brought / entry):  # nvidia's packages share a folder
                (brought / entry).symlink_to(found[name].locate_file(entry))
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "brought.pth").write_text(f"{brought}\n", encoding="utf-8")
    return python, set(found)


@pytest.fixture(scope="module")
def colab(tmp_path_factory) -> Path:
    """The Python of an environment with what Colab brings and pip; coldlab and its other needs are absent."""
    folder = tmp_path_factory.mktemp("colab")
    python, found = environment(folder / "env", COLAB, folder / "brought")
    assert set(HELD) <= found
    assert not {"coldlab", "einops", "safetensors"} & found
    return python


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch):
    """Colab's pip has no constraints and its Python no extra path."""
    monkeypatch.setenv("PIP_CONSTRAINT", os.devnull)
    monkeypatch.delenv("PYTHONPATH", raising=False)


def tree(folder) -> Path:
    """A copy of this tree, of what git knows or would take."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=chapters.ROOT, capture_output=True)
    if found.returncode:
        pytest.skip("not a git working copy, so what a container would be given is not known")
    for name in set(found.stdout.decode().split("\0")) - {""}:
        if (chapters.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(chapters.ROOT / name, folder / name)
    return folder


@pytest.fixture
def address(monkeypatch, tmp_path):
    """git finds this tree, uncommitted changes included, at the repository's public address."""
    copy = tree(tmp_path / "stand-in")
    git = [
        "git",
        "-C",
        str(copy),
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@localhost",
        "-c",
        "commit.gpgsign=false",
    ]
    for command in (["init", "-q", "-b", "main"], ["add", "--all", "--force"], ["commit", "-q", "-m", "stand-in"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    url = "https://github.com/" + "/".join(stamp.current(chapters.ROOT).group("owner", "name"))
    assert f"git+{url}" in CELL
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{copy.as_uri()}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", url)
    return url


def versions(python: Path) -> dict[str, str]:
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {HELD}}}))"
    return json.loads(
        subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True, errors="replace").stdout
    )


def imported(python: Path, cwd: Path) -> subprocess.CompletedProcess:
    code = "import coldlab; print(coldlab.__file__)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=cwd, errors="replace")


def skip_without_registry(python: Path, folder: Path) -> None:
    probe = [python, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "einops"]
    tried = subprocess.run(probe, capture_output=True, text=True, errors="replace")
    if tried.returncode:
        pytest.skip(f"no package registry within reach: {tried.stderr.strip().splitlines()[-1]}")


def test_a_chapter_runs_with_only_what_colab_brings(colab, address, monkeypatch, tmp_path):
    skip_without_registry(colab, tmp_path / "probe")
    before = versions(colab)
    assert imported(colab, tmp_path).returncode != 0, "coldlab must come from the install cell"

    # The notebook alone in an empty folder, run top to bottom in one kernel of that environment, as Colab does.
    desk = tmp_path / "content"
    desk.mkdir()
    specification = {"argv": [str(colab), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    (tmp_path / "jupyter" / "kernels" / KERNEL).mkdir(parents=True)
    (tmp_path / "jupyter" / "kernels" / KERNEL / "kernel.json").write_text(
        json.dumps(specification | {"display_name": KERNEL}), encoding="utf-8"
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    notebook = chapters.read(chapters.ROOT / "book" / f"{CHAPTER}.ipynb")
    install = next(cell for cell in notebook.cells if "colab" in cell.metadata.get("tags", []))
    assert install.source == CELL.rstrip("\n")
    client = NotebookClient(
        notebook, kernel_name=KERNEL, timeout=300, resources={"metadata": {"path": str(desk)}},
        extra_arguments=["--log-level=ERROR"],
    )  # fmt: skip
    client.execute()

    assert install.outputs == []
    assert versions(colab) == before
    found = imported(colab, tmp_path)
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).is_relative_to(colab.parents[1])


def test_the_cell_does_nothing_where_coldlab_is(monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("the install cell started a process")

    monkeypatch.setattr(subprocess, "run", never)
    exec(compile(CELL, "install cell", "exec"), {})


def test_the_cell_says_in_one_line_that_it_failed(colab, monkeypatch, tmp_path):
    """No repository at the address: one line that holds git's own reason, and no traceback."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{(tmp_path / 'nowhere').as_uri()}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    if imported(colab, tmp_path).returncode == 0:  # the test above may have run before
        subprocess.run([colab, "-m", "pip", "uninstall", "-q", "-y", "coldlab"], check=True, capture_output=True)
    run = subprocess.run([colab, "-c", CELL], capture_output=True, text=True, cwd=tmp_path, errors="replace")
    assert run.returncode == 1
    assert run.stdout == ""
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith("coldlab could not be installed. ")
    assert "nowhere" in line
