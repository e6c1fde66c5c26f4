"""The chapters as they are stored: each pair agrees, each notebook is whole, and each reads as the book promises.

The tests of a rule come with a copy that breaks it, so that a rule which stops biting is seen.
"""

import re
import shutil
import subprocess
import sys

import chapters
import nbformat
import pytest
import stamp
import yaml

SOURCES = chapters.sources()
each_chapter = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)

# A path of the machine that ran the chapter, a memory address, a time of day: none belongs into a stored output.
MACHINE = re.compile(
    r"/(?:home|root|tmp|Users|work|usr)/|site-packages|[A-Z]:\\\\Users| at 0x[0-9a-f]{6,}|\d\d:\d\d:\d\d"
)


def stored(source):
    return chapters.read(source.with_suffix(".ipynb"))


def outputs(notebook):
    return [(index, output) for index, cell in enumerate(notebook.cells) for output in cell.get("outputs", [])]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def faults_in_outputs(notebook) -> list[str]:
    """What must not be stored: cells that did not run, errors, warnings, widgets, traces of a machine, mute figures."""
    faults = ["widget state in the notebook's metadata"] if "widgets" in notebook.metadata else []
    code = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    counts = [cell.execution_count for _, cell in code]
    if counts != list(range(1, len(code) + 1)):
        faults.append(f"not one run from top to bottom: execution counts {counts}")
    for index, output in outputs(notebook):
        data = output.get("data", {})
        text = "\n".join([output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")])
        if output.output_type == "error":
            faults.append(f"cell {index}: an error, {output.ename}")
        if output.get("name") == "stderr":
            faults.append(f"cell {index}: text on stderr, {output.text[:80]!r}")
        if any("widget" in kind for kind in data):
            faults.append(f"cell {index}: a widget that needs a kernel")
        if found := MACHINE.search(re.sub(r"data:image/\w+;base64,[\w+/=]+", "", text)):
            faults.append(f"cell {index}: {found.group()!r} changes with the machine or the run")
        for kind in data:
            if kind.startswith("image/") and not output.metadata.get(kind, {}).get("alt", "").strip():
                faults.append(f"cell {index}: {kind} without alt text")
        for tag in re.findall(r"<img\b[^>]*>", data.get("text/html", "")):
            if not re.search(r"\balt=(\"[^\"]+\"|'[^']+')", tag):
                faults.append(f"cell {index}: <img> without alt text")
    return faults


def test_there_are_chapters_and_the_book_shows_them_all():
    contents = yaml.safe_load((chapters.ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [entry["file"] for part in contents["parts"] for entry in part["chapters"]]
    assert SOURCES
    assert [name for name in listed if re.match(r"book/\d\d_", name)] == [f"book/{source.stem}" for source in SOURCES]
    assert {path.stem for path in (chapters.ROOT / "book").glob("*.ipynb")} == {source.stem for source in SOURCES}


@each_chapter
def test_the_pair_agrees(source):
    assert chapters.differences(source, source.with_suffix(".ipynb")) == []


@pytest.mark.parametrize("change", ["a source", "a tag", "a cell type", "a missing cell", "a header", "only the .py"])
def test_a_drifted_pair_is_seen(tmp_path, change):
    source = shutil.copy(SOURCES[0], tmp_path / SOURCES[0].name)
    path = shutil.copy(SOURCES[0].with_suffix(".ipynb"), source.with_suffix(".ipynb"))
    assert chapters.differences(source, path) == []
    notebook = chapters.read(path)
    if change == "a source":
        notebook.cells[-1].source += "  # edited in the notebook"
    elif change == "a tag":
        tagged(notebook, "solution")[0].metadata.tags.remove("solution")
    elif change == "a cell type":
        notebook.cells[0].cell_type = "raw"
    elif change == "a missing cell":
        del notebook.cells[-1]
    elif change == "a header":
        notebook.metadata["accelerator"] = "TPU"
    else:
        source.write_text(
            source.read_text(encoding="utf-8").replace("**After this chapter you can**", "**You can now**"),
            encoding="utf-8",
        )
    nbformat.write(notebook, path)
    assert chapters.differences(source, path) != []


@each_chapter
def test_outputs_are_whole_and_clean(source):
    assert faults_in_outputs(stored(source)) == []


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (nbformat.v4.new_output("display_data", {"image/png": ""}), "without alt"),
        (
            nbformat.v4.new_output("display_data", {"image/png": ""}, metadata={"image/png": {"alt": " "}}),
            "without alt",
        ),
        (nbformat.v4.new_output("display_data", {"text/html": "<img src='x'>"}), "without alt"),
        (nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[]), "an error, ValueError"),
        (nbformat.v4.new_output("stream", name="stderr", text="UserWarning"), "stderr"),
        (nbformat.v4.new_output("stream", name="stdout", text="wrote /tmp/x.gif"), "/tmp/"),
        (nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}}), "needs a kernel"),
    ],
)
def test_a_bad_output_is_seen(output, fault):
    cell = nbformat.v4.new_code_cell("1", execution_count=1, outputs=[output])
    assert fault in " ".join(faults_in_outputs(nbformat.v4.new_notebook(cells=[cell])))


def test_a_cell_that_did_not_run_and_widget_state_are_seen():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")], metadata={"widgets": {}})
    assert len(faults_in_outputs(notebook)) == 2


@each_chapter
def test_what_every_chapter_has(source):
    notebook = stored(source)
    markdown = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    slug = "/".join(stamp.current(chapters.ROOT).group("owner", "name"))
    colab = f"https://colab.research.google.com/github/{slug}/blob/main/book/{source.stem}.ipynb"
    opening = notebook.cells[0].source
    assert opening.startswith("# ")
    assert f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})" in opening
    assert markdown.count("colab.research.google.com/github/") == markdown.count(colab)
    assert "**After this chapter you can**" in markdown

    install = tagged(notebook, "colab")
    assert [cell.source for cell in install] == [chapters.INSTALL_CELL.read_text(encoding="utf-8").rstrip("\n")]
    assert install[0].metadata.tags == chapters.INSTALL_TAGS
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0] is install[0], "the install cell comes before the first import"

    exercises = re.findall(r"\*\*Exercise (\d+)", markdown)
    assert len(exercises) >= 3
    assert exercises == [str(number) for number in range(1, len(exercises) + 1)]
    solutions = tagged(notebook, "solution")
    assert len(solutions) >= len(exercises)
    assert all("hide-cell" in cell.metadata.tags and cell.cell_type == "code" for cell in solutions)


def test_the_lean_in_chapter_5_is_that_of_the_file():
    book = chapters.ROOT / "book"
    proof = (book / "lean" / "Telescope.lean").read_text(encoding="utf-8")
    cells = chapters.read(book / "05_linear_proof.py").cells
    blocks = re.findall(r"```text\n(.*?)```", "\n".join(cell.source for cell in cells), re.DOTALL)
    assert [block for block in blocks if "theorem" in block and block in proof] == blocks != []


@pytest.mark.skipif(shutil.which("lean") is None, reason="there is no Lean on this machine")
def test_a_lean_accepts_the_proof():
    file = chapters.ROOT / "book" / "lean" / "Telescope.lean"
    run = subprocess.run(["lean", str(file)], capture_output=True, text=True, timeout=300, errors="replace")
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_the_api_page_has_a_section_for_every_module():
    page = (chapters.ROOT / "book" / "api.md").read_text(encoding="utf-8")
    documented = re.findall(r"automodule:: (coldlab\.[\w.]+)", page)
    files = (chapters.ROOT / "coldlab").rglob("*.py")
    modules = [".".join(f.relative_to(chapters.ROOT).with_suffix("").parts) for f in files if f.name[:2] != "__"]
    assert sorted(documented) == sorted(modules)


# ---- the repository's address -------------------------------------------------------------------------------------


def test_every_address_agrees():
    assert stamp.restamp(chapters.ROOT, write=False) == []


def test_stamping_reaches_every_place_and_can_be_undone(tmp_path):
    root = tmp_path / "clone"
    (root / "book").mkdir(parents=True)
    (root / "tools").mkdir()
    source, notebook = SOURCES[0], SOURCES[0].with_suffix(".ipynb")
    names = ["_config.yml", "pyproject.toml", "CITATION.cff", "README.md", "tools/install_cell.py"]
    names += [f"book/{source.name}", f"book/{notebook.name}"]
    for name in names:
        shutil.copy(chapters.ROOT / name, root / name)
    before = {name: (root / name).read_text(encoding="utf-8") for name in names}
    address = stamp.current(root).group().removeprefix("  url: ")

    stamp.restamp(root, "https://github.com/another-one/cold.course")
    after = {name: (root / name).read_text(encoding="utf-8") for name in names}
    for name in names:
        assert after[name] != before[name], name
        assert "cold.course" in after[name], name
        assert address.removeprefix("https://github.com/") not in after[name], name
    assert stamp.restamp(root, write=False) == []
    old, new = (nbformat.reads(texts[f"book/{notebook.name}"], as_version=4) for texts in (before, after))
    assert [cell.get("outputs") for cell in new.cells] == [cell.get("outputs") for cell in old.cells]
    assert chapters.differences(root / "book" / source.name, root / "book" / notebook.name) == []

    (root / "README.md").write_text(before["README.md"], encoding="utf-8")
    assert stamp.restamp(root, write=False), "an address left behind must be listed"
    stamp.restamp(root, address)
    assert {name: (root / name).read_text(encoding="utf-8") for name in names} == before


def test_other_peoples_addresses_stay():
    text = "https://github.com/OWNER/coldlab-extras and https://github.com/arpitbansal297/Cold-Diffusion-Models"
    assert stamp.stamper("me", "coldlab", set())(text) == text
    assert (
        stamp.stamper("me", "x", set())("git+https://github.com/OWNER/coldlab.git.") == "git+https://github.com/me/x."
    )


# ---- what `pytest --nbval` catches --------------------------------------------------------------------------------


@pytest.mark.parametrize(("printed", "passes"), [("4", True), ("5", False)])
def test_a_changed_number_fails_the_suite(tmp_path, printed, passes):
    """A stored notebook, run by pytest with the repository's own options, passes; with one digit changed it fails."""
    output = nbformat.v4.new_output("stream", name="stdout", text=f"2 + 2 = {printed}\n")
    source = "import os\nassert not os.environ['CUDA_VISIBLE_DEVICES']\nprint('2 + 2 =', 2 + 2)"
    cell = nbformat.v4.new_code_cell(source, execution_count=1, outputs=[output])
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata=chapters.METADATA)
    (tmp_path / "book").mkdir()
    nbformat.write(notebook, tmp_path / "book" / "00_sum.ipynb")
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(chapters.ROOT / name, tmp_path / name)
    shutil.copytree(chapters.ROOT / "tools", tmp_path / "tools")
    command = [sys.executable, "-m", "pytest", "--nbval", "book", "-p", "no:cacheprovider", "--color=no"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, errors="replace")
    assert run.returncode == (0 if passes else 1), run.stdout + run.stderr
    assert ("1 passed" if passes else "1 failed") in run.stdout
    if not passes:
        assert "2 + 2 = 5" in run.stdout
