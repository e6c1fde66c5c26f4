"""Text on any machine: every file of text is UTF-8, no code page ends a command, no tool empties what it rewrites."""

import ast
import atexit
import base64
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import chapters
import console
import pytest
import results_page
import stamp

from coldlab import storage
from coldlab.errors import ColdlabError

ROOT = chapters.ROOT
FILES = [*sorted(file for top in ("coldlab", "tools", "tests", "book") for file in (ROOT / top).rglob("*.py"))]
FILES = [file for file in FILES if "_build" not in file.parts] + [ROOT / "conftest.py"]
TOOLS = sorted((ROOT / "tools").glob("*.py"))
MODE = re.compile(r"[rwaxbtU+]+")


# --- in the sources: whoever opens text says in which encoding


def text_without_encoding(source):
    """(line, call) of each call that reads or writes text in the encoding that the machine happens to have."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg for keyword in node.keywords}
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = getattr(getattr(node.func, "value", None), "id", None)
        modes = [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
        modes += node.args[:2]
        modes = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
        modes = [mode for mode in modes if MODE.fullmatch(mode)]
        if name == "open":
            opens_text = not any("b" in mode for mode in modes)
            if isinstance(node.func, ast.Attribute):  # Path.open; Image.open and the like get a file, no mode
                opens_text = opens_text and bool(modes or not node.args)
        elif name == "read_text":
            opens_text = not node.args
        elif name == "write_text":
            opens_text = len(node.args) < 2 and owner != "storage"
        elif name in ("NamedTemporaryFile", "TemporaryFile", "fdopen"):
            opens_text = any("b" not in mode for mode in modes)
        else:
            texts = [k.value for k in node.keywords if k.arg in ("text", "universal_newlines")]
            opens_text = any(getattr(value, "value", True) is True for value in texts) and "errors" not in given
            opens_text = opens_text and name in ("run", "Popen", "check_output", "check_call", "call", "start")
        if opens_text and "encoding" not in given:
            yield node.lineno, ast.unparse(node)[:80]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_text_names_its_encoding(file):
    found = [f"line {line}: {call}" for line, call in text_without_encoding(file.read_text(encoding="utf-8"))]
    assert not found, f'{file.name}: name encoding="utf-8" (of another program\'s output encoding= or errors=)'


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("open(path, mode='a')", True),
        ("open(path, 'w', encoding='utf-8')", False),
        ("open(path, 'rb')", False),
        ("open(path, mode='wb')", False),
        ("path.open()", True),
        ("path.open('w')", True),
        ("path.open('rb')", False),
        ("Image.open(path)", False),
        ("(tmp / 'a').read_text()", True),
        ("(tmp / 'a').read_text(encoding='utf-8')", False),
        ("path.write_text('ä')", True),
        ("storage.write_text(path, 'ä')", False),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command, capture_output=True)", False),
        ("subprocess.run(command, text=True, errors='replace')", False),
        ("subprocess.Popen(command, universal_newlines=True)", True),
        ("subprocess.Popen(command, stdout=x, encoding='utf-8')", False),
        ("NamedTemporaryFile('w')", True),
        ("NamedTemporaryFile()", False),
    ],
)
def test_the_search_finds_what_it_is_for(call, wrong):
    assert bool(list(text_without_encoding(call))) is wrong


# --- every machine's code page


PAGES = {
    "cp932": {"PYTHONIOENCODING": "cp932"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
}
LOCALES = {  # a locale whose encoding Python knows, and no other than the streams'
    "cp932": ("ja_JP", "SHIFT_JIS"),
    "cp1252": ("en_US", "CP1252"),
}
COMMANDS = ("train", "sample", "restore", "evaluate", "reproduce", "bench", "degradations", "presets")


@functools.cache
def locale_of(page):
    """The variables of a real locale with this code page, so that files opened without an encoding have it too, where
    the system can make one; the streams have it in any case."""
    if page not in LOCALES or shutil.which("localedef") is None:
        return {}
    source, charmap = LOCALES[page]
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(["localedef", "-c", "-i", source, "-f", charmap, f"{folder}/{page}"], capture_output=True)
    return {"LOCPATH": folder, "LC_ALL": page, "LANG": page} if any(Path(folder).iterdir()) else {}


def start(page, *words, cwd=ROOT):
    """Python with these words, as on a machine with this code page and without UTF-8 mode, its output into pipes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    environment |= {"PYTHONUTF8": "0", "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"} | PAGES[page] | locale_of(page)
    if words[0] == "-c":  # Shift JIS has no backslash
        code = base64.b64encode(words[1].encode()).decode()
        words = "-c", f"import base64; exec(base64.b64decode('{code}'))", *words[2:]
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process, page):
    """(what it printed, on stderr too), decoded by the code page; where it fails, so does the test."""
    encoding = PAGES[page].get("PYTHONIOENCODING", "ascii")
    out, err = (part.decode(encoding, errors="replace") for part in process.communicate(timeout=500))
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out, err


COMMAND_LINE = """
import os
from coldlab.__main__ import COMMANDS, main
for words in ([], *([command.__name__] for command in COMMANDS)):
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert not end.code, words
for words in (["degradations"], ["presets"], ["reproduce", "--list"]):
    assert main(words) == 0, words
few = ["evaluate", "--limit", "40", "--resamples", "0", "--sampler", "naive", "--device", "cpu"]
assert main(few) == 0
name = os.fsdecode(b"./\\xd1\\x84-\\xc3\\xa9-\\xe5\\x86\\x99-\\xff")  # as an argument arrives there
assert main(["train", "--dataset", name]) == 2
print("COMMANDS", *(command.__name__ for command in COMMANDS))
assert main([*few, "--json"]) == 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_command_line(page):
    """--help of every command, the lists, the é of Fréchet, and an error about a name that no code page has."""
    out, err = ended(start(page, "-c", COMMAND_LINE), page)
    before, _, after = out.partition("COMMANDS ")
    names, _, values = after.partition("\n")
    assert tuple(names.split()) == COMMANDS
    assert "--pretrained" in before
    assert "chet (digits-classifier)" in before
    assert "Fréchet (digits-classifier)" in json.loads(values)["metrics"]["direct"]  # nothing is lost in JSON
    told = [line for line in err.splitlines() if line.startswith("coldlab: ")]
    assert len(told) == 1
    assert told[0].startswith("coldlab: no folder or zip at ")


# --- the tools


@pytest.fixture
def clone(tmp_path):
    """A copy of what the tools read and write, in a folder whose name no code page has."""
    root = tmp_path / "клон-é-写"
    leave = shutil.ignore_patterns(".*", "_build", "runs", "__pycache__", "golden", "*.safetensors")
    shutil.copytree(ROOT, root, ignore=leave)
    for file in (ROOT / "coldlab/weights").glob("*.safetensors"):  # their sizes stand on a page
        os.link(file, root / "coldlab/weights" / file.name)
    return root


TOOL_RUNS = """
import runpy, sys
sys.path.insert(0, "tools")
def run(name, *words):
    sys.argv = [f"tools/{name}.py", *words]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        assert not end.code, (name, words, end.code)
for name in ("measure_metrics", "official", "train_classifier"):  # the others begin to work at once
    run(name, "--help")
run("results_page")
for words in (["--check"], ["https://github.com/me/mine"], []):
    run("stamp", *words)
"""


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_tools(page, clone):
    out, _ = ended(start(page, "-c", TOOL_RUNS, cwd=clone), page)
    assert out.lower().count("usage: ") == 3
    assert "every address agrees with _config.yml" in out
    for name, path in results_page.PAGES.items():
        assert (clone / path).read_text(encoding="utf-8").replace("me/mine", "OWNER/coldlab") == results_page.page(name)
    for kind in ("README.md", "book/*.py", "book/*.ipynb"):
        for file in clone.glob(kind):
            before, after = ((root / file.relative_to(clone)).read_text(encoding="utf-8") for root in (ROOT, clone))
            assert ("é" in before, "—" in before) == ("é" in after, "—" in after)
            assert "me/mine" in after
            assert before.count("\n") == after.count("\n")


BROKEN = """# %% [markdown]
# # É

# %%
raise ValueError("é 写")
"""


@pytest.mark.slow
@pytest.mark.parametrize("page", ["cp932", "C"])
def test_a_chapter_that_fails_is_reported_in_any_code_page(page, clone):
    for file in (clone / "book").glob("[0-9]*"):
        file.unlink()
    (clone / "book/01_é.py").write_text(BROKEN, encoding="utf-8")
    process = start(page, "tools/execute.py", cwd=clone)
    err = process.communicate(timeout=500)[1]
    assert process.returncode == 1
    assert b"failed, nothing stored" in err
    assert b"ValueError" in err
    assert b"UnicodeEncodeError" not in err
    assert not (clone / "book/01_é.ipynb").exists()


def test_streams_that_are_no_files_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", object())
    console.degrade()


# --- a tool that fails leaves what was there


@pytest.fixture
def full_disk(monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("coldlab.storage.os.fsync", full)


def rewritten(name, root):
    """Let a tool rewrite `name` below root."""
    if name.endswith(".ipynb"):
        chapters.write(chapters.to_notebook((root / name).with_suffix(".py")), root / name)
    elif name == "README.md":
        stamp.restamp_text(root / name, lambda text: text + "more", "", write=True)
    else:
        storage.write_text(root / name, results_page.page("results"))


@pytest.mark.parametrize("name", ["book/01_degradations.ipynb", "README.md", "book/results.md"])
def test_a_full_disk_empties_nothing(name, tmp_path, full_disk):
    for file in (name, "book/01_degradations.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    with pytest.raises(ColdlabError, match=r"could not be written \(No space left on device\); what was there is unch"):
        rewritten(name, tmp_path)
    assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()
    assert {file.name for file in (tmp_path / name).parent.iterdir()} <= {Path(name).name, "01_degradations.py", "book"}


def test_a_page_that_cannot_be_made_leaves_the_old_one(clone):
    (clone / "results/paper.json").unlink()
    before = (clone / "book/results.md").read_bytes()
    process = start("cp1252", "tools/results_page.py", cwd=clone)
    assert b"KeyError: 'paper'" in process.communicate()[1]
    assert process.returncode == 1
    assert (clone / "book/results.md").read_bytes() == before


@pytest.mark.parametrize("file", TOOLS, ids=lambda file: file.name)
def test_tools_write_through_storage(file):
    """What they rewrite is there whole or not at all."""
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        owner = getattr(getattr(call.func, "value", None), "id", None)
        assert name != "write_text" or owner == "storage", ast.unparse(call)
        assert name != "write_bytes", ast.unparse(call)
        modes = [part.value for part in call.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        assert name != "open" or not any(set(mode) & set("wax") for mode in modes if MODE.fullmatch(mode))


def test_json_keeps_names_that_are_no_text(tmp_path):
    name = "photos-é-写-" + os.fsdecode(b"\xe9")
    storage.write_json(tmp_path / "a.json", {"dataset": name})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"dataset": name}


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such permissions")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "run"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o750)
    storage.write_text(path, "#!/bin/sh\n:\n")
    assert path.stat().st_mode & 0o777 == 0o750
    storage.write_text(tmp_path / "new", "")
    assert (tmp_path / "new").read_bytes() == b""


# --- a checkout on a machine that writes CR LF


@pytest.fixture(scope="module")
def git():
    """git in this checkout, or skip: a source archive has none."""

    def git(*words, cwd=ROOT):
        return subprocess.run(
            ["git", *map(str, words)], cwd=cwd, capture_output=True, encoding="utf-8", check=True
        ).stdout

    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    return git


def test_text_has_lf_in_every_checkout(git, tmp_path):
    """As Windows' git is installed: with core.autocrlf, where a shell would meet carriage returns."""
    git("-c", "init.defaultBranch=main", "init", "-q", tmp_path)
    for name in (".gitattributes", ".ci/run", "Makefile", "tools/stamp.py", "book/01_degradations.ipynb", "_toc.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "book/static/hero.png", tmp_path / "hero.png")
    (tmp_path / "a.safetensors").write_bytes(b"text\r\nby chance\r\n")
    names = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and ".git" not in path.parts}
    crlf = ("-c", "core.autocrlf=true", "-c", "core.safecrlf=false")
    git(*crlf, "add", ".", cwd=tmp_path)
    for path in names:
        path.unlink()
    git(*crlf, "checkout", "--", ".", cwd=tmp_path)
    for path, content in names.items():
        assert path.read_bytes() == content, path.name
        assert b"\r\n" not in content or path.suffix in (".png", ".safetensors")


def test_what_is_stored_needs_no_change(git):
    """Nothing in the repository has other line ends than its attributes say."""
    for line in git("ls-files", "--eol").splitlines():
        stored, _, attributes, name = re.split(r"\s+", line, maxsplit=3)
        assert stored in ("i/lf", "i/-text", "i/none"), line
        text = "eol=lf" in line
        assert text == (stored != "i/-text"), f"{name}: {attributes}"
