"""The chapters as they are stored: each pair agrees, each notebook is whole, and each reads as the book promises.

The tests of a rule come with a copy that breaks it, so that a rule which stops biting is seen.
"""

import ast
import re
import shutil
import subprocess
import sys

import chapter
import chapters
import landing
import nbformat
import pytest
import stamp
import yaml

from coldlab.degradations import base
from coldlab.lab import results

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


def parts_missing(notebook, stem) -> list[str]:
    """What a chapter called `stem` should have and has not."""
    markdown = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    slug = "/".join(stamp.current(chapters.ROOT).group("owner", "name"))
    colab = f"https://colab.research.google.com/github/{slug}/blob/main/book/{stem}.ipynb"
    badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})"
    opening = notebook.cells[0].source
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    install = tagged(notebook, "colab")
    exercises, solutions = re.findall(r"\*\*Exercise (\d+)", markdown), tagged(notebook, "solution")
    has = {
        "a title": opening.startswith("# "),
        "its own Colab badge": badge in opening,
        "no other chapter's": markdown.count("colab.research.google.com/github/") == markdown.count(colab),
        "what one can do afterwards": "**After this chapter you can**" in markdown,
        "the install cell": [cell.source for cell in install]
        == [chapters.INSTALL_CELL.read_text(encoding="utf-8").rstrip("\n")],
        "its tags": [cell.metadata.tags for cell in install] == [chapters.INSTALL_TAGS],
        "the install cell before the first import": code[:1] == install,
        "three exercises": len(exercises) >= 3,
        "exercises in order": exercises == [str(number) for number in range(1, len(exercises) + 1)],
        "a solution for each": len(solutions) >= len(exercises),
        "folded solutions": all("hide-cell" in cell.metadata.tags and cell in code for cell in solutions),
    }
    return [part for part, there in has.items() if not there]


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


@each_chapter
def test_what_every_chapter_has(source):
    assert parts_missing(stored(source), source.stem) == []


def test_the_api_pages_have_a_section_and_a_row_for_every_module():
    pages = {path.name: path.read_text(encoding="utf-8") for path in (chapters.ROOT / "book").glob("api*.md")}
    documented = [name for page in pages.values() for name in re.findall(r"automodule:: (coldlab\.[\w.]+)", page)]
    rows = re.findall(r"^\| \{ref\}`([\w.]+) <[\w-]+>` \| .+ \| (.*) \|$", pages["api.md"], re.MULTILINE)
    files = (chapters.ROOT / "coldlab").rglob("*.py")
    modules = {".".join(f.relative_to(chapters.ROOT).with_suffix("").parts): f for f in files if f.name[:2] != "__"}
    assert sorted(documented) == sorted(modules)
    assert sorted(f"coldlab.{name}" for name, _ in rows) == sorted(modules)
    for name, shown in rows:  # a row names what the module documents
        tree = ast.parse(modules[f"coldlab.{name}"].read_text(encoding="utf-8")).body
        public = [node for node in tree if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"]
        assert re.findall(r"`(\w+)`", shown) == [node.name for node in public if ast.get_docstring(node)], name


# ---- how chapters read --------------------------------------------------------------------------------------------

COLUMNS = 85  # of code that a page shows without scrolling
FOLDS = {"hide-input", "hide-cell"}

# Cells, by how they begin, whose assert stays in view: there it is what the text speaks of, a law that has to hold in
# every turn of a loop. Folded away, the loop would show nothing.
READ_AS_THEY_STAND = {
    "04_sampling": ["def oracle(x, s):"],
    "05_linear_proof": [
        "import sympy",
        "def crooked(seed=0):",
        'D = make("blur", SIZE',
        "found = {}",
        "letter = lambda name: sympy.Symbol(name,",
        "cases = {",
        "D, made, B = network.D, {}, linear_proof",
        "lines = {",
        "T, N = 2000, 4096",
    ],
}


PICTURE = r"^(plots\.\w+|widgets\.\w+|(?:results|manifests)\.picture)\("


def faults_in_reading(notebook) -> list[str]:
    """What stands between a reader and the idea: long lines, asserts and plotting code in view."""
    faults = []
    for index, cell in enumerate(notebook.cells):
        tags = set(cell.metadata.get("tags", []))
        if cell.cell_type != "code" or "colab" in tags:
            continue
        start = f"cell {index} ({cell.source.strip().splitlines()[0][:50]})"
        faults += [f"{start}: {len(line)} columns" for line in cell.source.splitlines() if len(line) > COLUMNS]
        if "solution" in tags:
            continue
        if re.search(r"^\s*assert\b", cell.source, re.MULTILINE) and not tags & FOLDS:
            faults.append(f"{start}: an assert outside of a Check")
        if re.search(
            r"^(plots\.\w+|widgets\.\w+|(?:results|manifests)\.picture)\(", cell.source, re.MULTILINE
        ) and not ("plot" in tags and tags & FOLDS):
            faults.append(f"{start}: a picture outside of a Plot")
    return faults


@each_chapter
def test_nothing_stands_between_reader_and_idea(source):
    faults = faults_in_reading(chapters.to_notebook(source))
    allowed = READ_AS_THEY_STAND.get(source.stem, [])
    assert [fault for fault in faults if not any(f"({start}" in fault for start in allowed)] == []
    assert [start for start in allowed if not any(f"({start}" in fault for fault in faults)] == [], "no longer needed"


@pytest.mark.parametrize(
    ("code", "tags", "fault"),
    [
        ("x = 1  " + "#" * 85, [], "92 columns"),
        ("x = 1\nassert x", [], "an assert outside"),
        ("for x in y:\n    assert x", ["nbval-ignore-output"], "an assert outside"),
        ("plots.rows({})", ["hide-cell", "check"], "a picture outside"),
        ('results.picture("mnist-blur", alt="A.")', [], "a picture outside"),
        ("assert x", ["hide-cell", "check"], ""),
        ("plots.rows({})", ["hide-input", "plot"], ""),
        ("assert x\nplots.rows({})", ["hide-cell", "solution"], ""),
    ],
)
def test_what_stands_between_reader_and_idea_is_seen(code, tags, fault):
    cell = nbformat.v4.new_code_cell(code, metadata={"tags": tags})
    faults = " ".join(faults_in_reading(nbformat.v4.new_notebook(cells=[cell])))
    assert fault in faults
    assert bool(fault) == bool(faults)


def test_the_first_page_says_how_long_each_chapter_takes_and_is_light():
    page = (chapters.ROOT / "book" / "index.md").read_text(encoding="utf-8")
    for source in SOURCES:
        opening = " ".join(stored(source).cells[0].source.split())
        minutes = re.search(r"\*\*It takes\*\* (\d+) minutes to read", opening)[1]
        assert f"({source.stem}.ipynb) | {minutes} min |" in page
    static = chapters.ROOT / "book" / "static"
    assert landing.PLAY in (static / "landing-slider.html").read_text(encoding="utf-8")  # made anew when it changed
    drawn = static.glob("landing-*")
    assert sum(path.stat().st_size for path in drawn) < 300_000


def test_a_chapter_begins_with_every_part_that_a_chapter_has(tmp_path):
    (tmp_path / "book").mkdir()
    for name in ("_config.yml", "_toc.yml", f"book/{SOURCES[-1].name}"):
        shutil.copy(chapters.ROOT / name, tmp_path / name)
    source = chapter.begin("one_more", tmp_path)
    assert source.name == f"{int(SOURCES[-1].stem[:2]) + 1:02d}_one_more.py"
    contents = (tmp_path / "_toc.yml").read_text(encoding="utf-8")
    assert f"- file: book/{SOURCES[-1].stem}\n      - file: book/{source.stem}\n" in contents
    notebook = chapters.to_notebook(source)
    assert faults_in_reading(notebook) == []
    assert parts_missing(notebook, source.stem) == []
    with pytest.raises(SystemExit, match="already"):
        chapter.begin("one_more", tmp_path)
    with pytest.raises(SystemExit, match="no name"):
        chapter.begin("../Blur", tmp_path)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    exec("\n".join(code), {})  # and it runs


# ---- the numbers of the prose ------------------------------------------------------------------------------------


def told_elsewhere():
    """{chapter: {number in its prose that none of its cells asserts or prints: the value that it has}}.

    What a chapter only quotes is held against results/paper.json here, what is a definition against its terms.
    """
    paper, reader = results.load("paper"), results.load("mnist-classifier")
    pairs = [paper["values"][task] for task in ("mnist-blur", "cifar10-blur", "celeba-blur")]
    quoted = {f"{cells[row]['fid'][0]:.2f}": cells[row]["fid"][0] for cells in pairs for row in ("direct", "sampled")}
    faces, photograph = 9000, (427, 640)  # aligned training images, a tenth held out; pixels of scikit-learn's
    return {
        "04_sampling": quoted | {"8,100": faces - faces // 10, "250,000": 1 / (2 * base.FLOAT32)},
        "06_generation": {"60,000": 60_000},  # MNIST's training images
        "08_transforms": {"96": 3 * 32},  # pixels of a photograph that is three times as wide as R's
        "09_blur_or_noise": {"1,024": 32 * 32, "255": 2**8 - 1},  # pixels of a digit; the last level of a file
        "10_beyond": {
            "50,000": 50_000,  # CIFAR-10's training images
            "99.6": 100 * reader["accuracy"],
            "80": photograph[1] / 2 / 4,  # patches of four pixels
            "256": 2**8,  # levels of a file
        },
    }


# Names, not measures: sections of a paper, volumes and years, sizes of pictures, what an interval holds, and how long a
# chapter takes, which the first page repeats.
NAMES = (
    r"sections? \d\.\d(?: and \d\.\d)?|95 % interval|Graphics \d+|\b(?:19|20)\d\d\b"
    r"|\d+ x \d+ pixels|^    .*$|\*\*It takes\*\*.*"
)


def asserted(notebook) -> set[float]:
    """The numbers in the asserts of a notebook and in those of its outputs that the tests compare."""
    texts = []
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        nodes = ast.walk(ast.parse(cell.source))
        texts += [ast.unparse(node) for node in nodes if isinstance(node, ast.Assert)]
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            continue
        texts += [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    there = re.findall(r"\d[\d_,]*\.?\d*(?:e-?\d+)?", " ".join(map("".join, texts)))
    return {float(number.rstrip(".,").replace("_", "").replace(",", "")) for number in there}


def untold(notebook) -> list[str]:
    """Numbers in the prose, of two digits or with a percent sign, that no cell asserts or prints."""
    known, found = asserted(notebook), []
    for cell in (cell for cell in notebook.cells if cell.cell_type == "markdown"):
        prose = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)|<[^>]*>", "", cell.source, flags=re.DOTALL)
        prose = re.sub(NAMES, "", prose, flags=re.MULTILINE)
        for number in re.findall(r"(?<![\w.,])(\d+\.\d+|\d{1,3}(?:,\d{3})+|\d+(?= %)|\d\d+)(?![\d.,]*\d)", prose):
            value, digits = float(number.replace(",", "")), len(number.partition(".")[2])
            half = 0.501 * 10**-digits
            if not any(abs(k - value) <= half or abs(100 * k - value) <= half for k in known):
                found.append(number)
    return found


@pytest.mark.parametrize("source", [s for s in SOURCES if s.stem >= "04"], ids=lambda s: s.stem)
def test_the_numbers_of_the_prose_are_in_cells(source):
    """Each is asserted or printed by a cell of its chapter, or told elsewhere, and none is told without need."""
    assert set(untold(stored(source))) == set(told_elsewhere().get(source.stem, {}))


def test_what_is_told_elsewhere_is_so():
    for numbers in told_elsewhere().values():
        for number, value in numbers.items():
            digits = len(number.partition(".")[2])
            assert f"{round(value, digits):,.{digits}f}" == number


def test_a_number_out_of_nowhere_is_seen():
    cells = [
        nbformat.v4.new_markdown_cell("It is 0.37, or 12 %, of 4,321 (section 3.3, 95 % interval 0.5), or 17 in 2023."),
        nbformat.v4.new_code_cell("x = 4321  # 12\nassert 0.366 < x and x > 0.5"),
    ]
    assert untold(nbformat.v4.new_notebook(cells=cells)) == ["12", "4,321", "17"]
    cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="17 of 4,321")]
    assert untold(nbformat.v4.new_notebook(cells=cells)) == ["12"]


# ---- the words and the letters ------------------------------------------------------------------------------------

# Bold in the prose, and no term: emphasis, a name that lives in one section, a word of everyday.
NOT_IN_THE_GLOSSARY = {
    "02_unet": {"middle", "that time is useless", "that attention is useless"},
    "04_sampling": {"why iterate"},
    "05_linear_proof": {"always alike", "trained", "biased", "noisy", "random", "remainder", "harmless",
                        "if and only if", "one $x_t$, one image"},
    "06_generation": {"within what survives"},
    "07_metrics": {"its original", "set", "net", "number of images", "reference set", "handling", "task",
                   "80.08"},
    "08_transforms": {"told"},
}  # fmt: skip


def prose(source) -> str:
    cells = chapters.to_notebook(source).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def plain(term: str) -> str:
    """A term as it is looked up: one case, one number, no punctuation."""
    return re.sub(r"(\w\w[^s\W])s\b", r"\1", " ".join(term.lower().split())).strip(".,?!")


def terms_of(text: str) -> list[str]:
    """What a text puts in bold in the middle of a sentence, in at most four words."""
    bold = re.findall(r"(?<!\*)\*\*([^*]{1,60})\*\*(?!\*)", text)
    return [
        plain(words) for words in bold if not words[0].isupper() and len(words.split()) < 5 and words[-1] not in ".:"
    ]


def glossary() -> set[str]:
    """Every entry of the glossary, and each of its words in the order in which it may be used alone."""
    page = (chapters.ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    entries = [plain(entry) for entry in re.findall(r"^\*\*(.+?)\.\*\*", page, re.MULTILINE)]
    parts = [part for entry in entries for part in re.split(r", | and ", entry)]
    return {*entries, *parts, *(part.split()[0] for part in parts)}


@each_chapter
def test_terms_are_in_the_glossary(source):
    known = glossary() | {plain(term) for term in NOT_IN_THE_GLOSSARY.get(source.stem, ())}
    assert [term for term in terms_of(prose(source)) if term not in known] == []


def test_a_term_that_is_missing_is_seen():
    found = terms_of("The **bands** of a **new thing**; **Theorem 1.** And **singular\nvalues**, **here:**")
    assert found == ["band", "new thing", "singular value"]
    assert [term for term in found if term not in glossary()] == ["new thing"]


def letters(text: str) -> set[str]:
    """The formulas of a text, spaces taken out."""
    formulas = re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", text, re.DOTALL)
    return {re.sub(r"\s+|\\[,;!]", "", display or inline) for display, inline in formulas}


def test_every_symbol_of_the_notation_occurs_in_a_chapter():
    page = (chapters.ROOT / "book" / "notation.md").read_text(encoding="utf-8")
    first = re.findall(r"^\| (\$.+?) \|", page, re.MULTILINE)
    symbols = [symbol for cell in first for symbol in letters(cell)]
    used = {formula for source in SOURCES for formula in letters(prose(source))}
    assert len(symbols) > 30
    for symbol in symbols:
        alone = re.compile(rf"(?<![A-Za-z\\]){re.escape(symbol)}(?![A-Za-z_])")
        assert any(alone.search(formula) for formula in used), symbol


@pytest.mark.parametrize(
    "source", [s for s in SOURCES if "widgets.live(" in s.read_text("utf-8")], ids=lambda s: s.stem
)
def test_what_a_chapter_says_to_run_in_a_live_kernel_can_be_run(source):
    """Its names are there by then: widgets.live and what is handed to it are assigned or imported in the chapter."""
    notebook = chapters.to_notebook(source)
    calls = [call for cell in notebook.cells for call in re.findall(r"`(widgets\.live\([^`]*\))`", cell.source)]
    code = ast.parse("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"))
    there = {node.id for node in ast.walk(code) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    there |= {alias.asname or alias.name for node in ast.walk(code) for alias in getattr(node, "names", ()) if node}
    for call in calls:
        asked = {node.id for node in ast.walk(ast.parse(" ".join(call.split()))) if isinstance(node, ast.Name)}
        assert asked <= there, (call, asked - there)
    assert calls


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
