"""The house as a visitor finds it: the course's package beside its apparatus, small files, no hidden cycles."""

import ast
import subprocess
import sys
from pathlib import Path

import chapters
import pytest

PACKAGE = chapters.ROOT / "coldlab"
CORE = ("degradations/base", "degradations/family", "degradations/holes", "degradations/snow", "unet", "training")
CORE += ("sampling", "linear_proof", "generation")


def name_of(path):
    parts = path.relative_to(chapters.ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def imported(name):
    """The modules of coldlab that a module imports anywhere in its text, functions included."""
    path, found = MODULES[name], set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.partition(".")[0] == "coldlab"}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            if target.partition(".")[0] == "coldlab":
                inside = {f"{target}.{alias.name}" for alias in node.names} & set(MODULES)
                found |= inside | ({target} if len(inside) < len(node.names) else set())
    return found & set(MODULES)


def closure(name):
    """A module and all of coldlab that it imports, itself or through others, at any time."""
    found, todo = set(), [name]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            parents = {name.rsplit(".", k)[0] for k in range(1, name.count("."))}  # a package runs before its modules
            todo += [*imported(name), *(parents & set(MODULES))]
    return found


@pytest.mark.parametrize("name", [name for name in MODULES if name != "coldlab.__main__" and ".lab" not in name])
def test_the_course_never_imports_the_apparatus(name):
    """Only the command line, `coldlab.__main__`, knows both."""
    assert not [other for other in imported(name) if other.startswith("coldlab.lab")]


def test_the_apparatus_is_found_where_the_readme_says():
    assert {"coldlab.lab.runs", "coldlab.lab.reproduce", "coldlab.lab.results"} <= set(MODULES)
    assert "coldlab.lab" in closure("coldlab.__main__")  # or the test above could not see an import of it


def test_any_module_can_be_imported_first():
    """Each in a fork of an interpreter that has torch but nothing of coldlab: an order of imports is no accident."""
    script = """
import importlib, os, sys
import torch, tqdm, tyro, numpy, einops
failed = []
for name in sys.argv[1:]:
    pid = os.fork()
    if pid == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        failed.append(name)
sys.exit(bool(failed))
"""
    if not hasattr(__import__("os"), "fork"):
        pytest.skip("needs fork")
    names = [name for name in MODULES if not name.endswith("__main__")]
    run = subprocess.run(
        [sys.executable, "-c", script, *names], capture_output=True, encoding="utf-8", cwd=chapters.ROOT
    )
    assert run.returncode == 0, run.stdout + run.stderr


def circles(told):
    """The modules that lead back to themselves; told: {module: the modules that it imports}."""

    def reached(name):
        found, todo = set(), [*told[name]]
        while todo:
            if (one := todo.pop()) not in found:
                found.add(one)
                todo += told[one]
        return found

    return {name for name in told if name in reached(name)}


def test_no_import_is_circular():
    """Read off the text, functions included: `coldlab/__init__` runs before any module, in one order, and hides it."""
    told = {name: imported(name) for name in MODULES}
    assert circles(told) == set()
    assert circles(told | {"coldlab.errors": {"coldlab.training"}}) >= {"coldlab.errors", "coldlab.training"}


def test_files_are_small_enough_to_read():
    assert {name: n for name, path in MODULES.items() if (n := lines(path)) > 350} == {}
    assert sum(lines(PACKAGE / f"{name}.py") for name in CORE if name != "degradations/holes") < 1600
    assert lines(PACKAGE / "unet.py") < 300
    assert "`unet.py` has under 300 lines" in (chapters.ROOT / "book/02_unet.py").read_text(encoding="utf-8")


def test_metrics_stand_on_little():
    assert sum(lines(MODULES[name]) for name in closure("coldlab.metrics") - {"coldlab"}) < 900


def test_the_readme_says_what_to_read_and_how_much():
    readme = (chapters.ROOT / "README.md").read_text(encoding="utf-8")
    places = [readme.index(f"`{name}.py`") for name in CORE]
    assert places == sorted(places)
    told = sum(lines(PACKAGE / f"{name}.py") for name in CORE)
    assert f"{round(told, -2):,} lines" in readme, f"the nine files have {told} lines together"
    assert "coldlab/lab/" in readme
    assert Path(PACKAGE / "lab").is_dir()
