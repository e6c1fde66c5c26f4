"""The package as others install it: light to import, whole in its wheel, its version stated once."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile

import chapters
import pytest

HEAVY = ("matplotlib", "ipywidgets", "torchvision", "sklearn", "IPython", "PIL")

IMPORT = """
import sys, time
import torch
before = set(sys.modules)
started = time.perf_counter()
import coldlab
print(time.perf_counter() - started)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def fresh_import() -> tuple[float, set[str]]:
    """Seconds that `import coldlab` adds to `import torch`, and the packages loaded by then, in a new interpreter."""
    run = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, cwd=chapters.ROOT, errors="replace"
    )
    seconds, names = run.stdout.splitlines()
    return float(seconds), set(names.split())


def test_import_is_light():
    seconds, loaded = fresh_import()
    assert {"torch", "coldlab"} <= loaded
    assert loaded.isdisjoint(HEAVY)
    for _ in range(4):  # the first import may have had to read from a slow disk
        if seconds < 0.3:
            break
        seconds = min(seconds, fresh_import()[0])
    assert seconds < 0.3


def project() -> dict:
    return tomllib.loads((chapters.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_torch_and_numpy_have_no_upper_bound():
    requirements = (chapters.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in requirements if line.startswith(("torch>", "torch=", "torchvision"))]
    assert len(lines) == 2
    for line in [*lines, *project()["dependencies"]]:
        assert ">=" in line, line
        assert not any(mark in line for mark in ("<", "==", "~=", "!=")), line


def test_the_version_is_the_same_everywhere():
    import coldlab

    version = project()["version"]
    assert f"\nversion: {version}\n" in (chapters.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version}" in (chapters.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert getattr(coldlab, "__version__", version) == version


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in the wheel that `pip install` would make of this tree; built without a network."""
    pytest.importorskip("hatchling.build", reason="the build backend hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build; print(hatchling.build.build_wheel({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", build], check=True, capture_output=True, cwd=chapters.ROOT)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist(), path.stat().st_size


def test_the_wheel_holds_the_package_its_weights_and_nothing_else(wheel):
    names, _ = wheel
    here = {path.relative_to(chapters.ROOT).as_posix() for path in (chapters.ROOT / "coldlab").rglob("*.py")}
    weights = {
        path.relative_to(chapters.ROOT).as_posix()
        for path in (chapters.ROOT / "coldlab" / "weights").glob("*.safetensors")
    }
    assert weights, "no trained weights in coldlab/weights"
    assert here | weights <= set(names)
    assert {name.partition("/")[0] for name in names} == {"coldlab", f"coldlab-{project()['version']}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_is_no_burden(wheel):
    """23 MB of weights in half precision, deflated by 8 %, 4 of pictures, the rest is text."""
    assert wheel[1] < 40e6


def test_a_clone_is_no_burden(tmp_path):
    """As the README has it, without the history: 72.6 MB on 2026-11-28, 33 of them in .git."""
    clone = ["git", "clone", "-q", "--depth", "1", chapters.ROOT.as_uri(), str(tmp_path / "coldlab")]
    for page in ("README.md", "book/index.md"):
        assert "git clone --depth 1 https" in (chapters.ROOT / page).read_text(encoding="utf-8")
    if subprocess.run(clone, capture_output=True).returncode:
        pytest.skip("not a git working copy, so there is nothing to clone")
    assert 1e6 < sum(path.stat().st_size for path in (tmp_path / "coldlab").rglob("*") if path.is_file()) < 80e6


def test_what_starts_a_container_exists():
    """The devcontainer and Binder: their commands are targets, extras and files that there are."""
    container = json.loads((chapters.ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    target = container["postCreateCommand"].removeprefix("make ")
    assert re.search(rf"^{target}:", (chapters.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    script = chapters.ROOT / ".binder" / "postBuild"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert os.access(script, os.X_OK)
    extras = tomllib.loads((chapters.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    assert set(re.search(r'"\.\[(.+)\]"', script.read_text(encoding="utf-8"))[1].split(",")) <= set(extras)
