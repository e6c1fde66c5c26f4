"""What a devcontainer and Binder do when they start, done here: their commands run, and coldlab is there afterwards.

Each in an environment that finds what is installed already, so that little more than coldlab itself is fetched.
"""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import chapters
import pytest
from test_colab import environment, skip_without_registry, tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_package_that_is_replaced_stays_where_it_was(tmp_path):
    """pip leaves alone what lies outside of an environment, and what it installs goes first."""
    python, _ = environment(tmp_path / "env", ["tqdm"], tmp_path / "brought")
    skip_without_registry(python, tmp_path / "probe")
    show = [python, "-c", "import tqdm; print(tqdm.__file__)"]
    before = subprocess.run(show, check=True, capture_output=True, encoding="utf-8").stdout
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--force-reinstall", "tqdm"]
    subprocess.run(install, check=True, capture_output=True)
    after = subprocess.run(show, check=True, capture_output=True, encoding="utf-8").stdout
    assert Path(before).is_relative_to(tmp_path / "brought")
    assert Path(after).is_relative_to(tmp_path / "env")
    assert Path(before.strip()).exists()


def started(command, folder, python, **more):
    """Run a start-up command in `folder` as a container does, with `python` as its Python; coldlab is there then."""
    settings = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PIP_CONSTRAINT")}
    settings |= {"PATH": f"{python.parent}:{settings['PATH']}", "VIRTUAL_ENV": str(python.parents[1])} | more
    run = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, errors="replace")
    assert run.returncode == 0, run.stdout[-500:] + run.stderr[-2000:]
    code = "import coldlab, sys; print(coldlab.__file__); assert coldlab.load_pretrained('digits-blur').D.T == 20"
    where = dict(cwd=folder.parent, env=settings, capture_output=True)
    found = subprocess.run([python, "-c", code], **where, encoding="utf-8", errors="replace")
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip())


def test_binder_starts(tmp_path):
    """repo2docker runs .binder/postBuild in the repository, with the environment's Python first on the path."""
    names = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib", "ipywidgets", "ipykernel", "sympy")
    names = (*names, "tqdm", "einops", "safetensors", "tyro", "pillow")
    python, _ = environment(tmp_path / "env", names, tmp_path / "brought")
    skip_without_registry(python, tmp_path / "probe")
    where = started(["./.binder/postBuild"], tree(tmp_path / "repository"), python)
    assert where.is_relative_to(tmp_path / "env")
    assert re.fullmatch(r"python-3\.\d+\n", (chapters.ROOT / ".binder/runtime.txt").read_text(encoding="utf-8"))


def test_the_devcontainer_starts(tmp_path):
    """Its command, with the environment that it makes begun already; what it installs is an editable coldlab."""
    asked = (chapters.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [re.split(r"[^\w.-]", line)[0] for line in asked if line[:1].isalpha()]
    folder = tree(tmp_path / "repository")
    python, _ = environment(folder / ".venv", [*names, "tyro"], tmp_path / "brought")
    skip_without_registry(python, tmp_path / "probe")
    container = json.loads((folder / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    where = started(shlex.split(container["postCreateCommand"]), folder, python)
    assert where == folder / "coldlab" / "__init__.py"
    told = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert Path(told.replace("${containerWorkspaceFolder}", str(folder))) == python
