"""What the book adds to Sphinx, tried on books of one page: alt text, formulas, the pictures of link previews."""

import subprocess
import sys
import zipfile
from types import SimpleNamespace
from xml.etree import ElementTree

import chapters
import nbformat
import pdf
import pytest
import torch
import weigh
from PIL import Image

from coldlab import plots

EXTENSIONS = chapters.ROOT / "book" / "_ext"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="


def build(folder, extension):
    """Sphinx's run over the one page in `folder` with an extension of the book's; a warning is an error."""
    settings = f"""
import sys
sys.path.insert(0, {str(EXTENSIONS)!r})
extensions = ["myst_nb", {extension!r}]
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"
"""
    (folder / "conf.py").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-W", "-b", "html", str(folder), str(folder / "html")]
    return subprocess.run(command, capture_output=True, text=True, errors="replace")


@pytest.mark.parametrize("alt", ["Two squares, one sharp.", ""])
def test_an_image_without_alt_text_fails_the_build(tmp_path, alt):
    """A notebook figure takes its alt text from its output; without one the book does not build."""
    output = nbformat.v4.new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": alt}})
    cells = [nbformat.v4.new_markdown_cell("# One"), nbformat.v4.new_code_cell("1", outputs=[output])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=chapters.METADATA), tmp_path / "index.ipynb")
    built = build(tmp_path, "coldlab_book")
    if alt:
        assert built.returncode == 0, built.stdout + built.stderr
        assert f'alt="{alt}"' in (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    else:
        assert built.returncode == 2
        assert "image without alt text" in built.stderr


@pytest.mark.parametrize("alt", ["Black squares.", ""])
def test_measured_pictures_stand_in_the_page_with_their_words(tmp_path, alt):
    plots.rows({"first": torch.rand(3, 3, 64, 64)}, "x").save(tmp_path / "a.webp")
    (tmp_path / "index.md").write_text(f"# One\n\n```{{rows}} a.webp\n:alt: {alt}\n```\n", encoding="utf-8")
    built = build(tmp_path, "coldlab_book")
    assert built.returncode == (0 if alt else 2), built.stdout + built.stderr
    if alt:
        page = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
        assert f'aria-label="{alt}"><div style="display:grid' in page
        assert '<div>first</div><img src="_images/' in page
    else:
        assert "value for 'alt'" in built.stderr


@pytest.mark.parametrize(
    ("formula", "fault"), [("\\frac{1}{2}", ""), ("\\frac{1", "expected '}'"), ("\\nosuch", "nosuch")]
)
def test_a_formula_that_cannot_be_drawn_fails_the_build(tmp_path, formula, fault):
    (tmp_path / "index.md").write_text(f"# One\n\nA half is ${formula}$.\n", encoding="utf-8")
    built = build(tmp_path, "coldlab_formulas")
    assert built.returncode == (2 if fault else 0), built.stdout + built.stderr
    if fault:
        assert fault in built.stderr
        assert "formula that KaTeX cannot read" in built.stderr
    else:
        text = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
        assert "<mfrac><mn>1</mn><mn>2</mn></mfrac>" in text
        assert "</span>\u2060." in text  # the full stop stays with the formula


@pytest.mark.parametrize(("size", "count"), [((338, 32), 9), ((320, 214), 4), ((270, 32), 2), ((1280, 720), 3)])
def test_a_card_shows_images_of_any_shape_whole(monkeypatch, size, count):
    monkeypatch.syspath_prepend(EXTENSIONS)
    import coldlab_publish as publish

    card = publish.draw_card(
        "A title that is longer than any of the titles of this book is", [Image.new("RGB", size, "red")] * count
    )
    assert card.size == publish.SIZE
    red = [(x, y) for x in range(0, 1200, 4) for y in range(0, 630, 4) if card.getpixel((x, y)) == (255, 0, 0)]
    if size == (1280, 720):  # a figure, not a row of images
        assert red == []
    else:
        assert min(red) >= (publish.MARGIN, publish.MARGIN)
        assert max(x for x, _ in red) < 1200 - publish.MARGIN
        assert max(y for _, y in red) < 420  # the title stands below
        assert len(red) > 2000


def test_without_a_browser_the_pdf_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weigh, "browser_path", lambda: None)
    with pytest.raises(SystemExit, match=r"printing it needs a browser, and none of chromium, .* is installed") as told:
        pdf.main(["pdf"], tmp_path)
    assert "python tools/pdf.py epub" in str(told.value)
    assert list((tmp_path / "_build" / "paper").iterdir()) == []
    assert pdf.main(["docx"], tmp_path) == 2
    assert "python tools/pdf.py" in capsys.readouterr().out


MOVING = """
<script>let x;</script>
<div class="cell tag_check"><pre>assert 1</pre></div>
<div class="cell tag_plot"><details class="hide above-input"><summary>Plot</summary>draw()</details>
<img src="a.png" alt="a" loading="lazy"></div>
<div class="cell tag_solution"><details class="hide"><summary><p>Solution</p></summary> 42</details></div>
<figure><img src="b.png" alt="b"><input type="range" value="3"><output>step 3</output></figure>
<cold-lab><img src="lab.webp" alt="lab"><noscript><p>The lab needs JavaScript.</p></noscript></cold-lab>
<svg viewBox="0 0 1 1"></svg>
"""


def test_what_moves_or_is_folded_stands_still_on_paper(monkeypatch):
    monkeypatch.syspath_prepend(EXTENSIONS)
    import coldlab_paper

    still = coldlab_paper.still(MOVING, xhtml=True)
    page = ElementTree.fromstring(f"<body>{still}</body>")  # XHTML, or this fails
    words = " ".join("".join(page.itertext()).split())
    assert words == "Solution 42 A slider moves this in the online book.step 3 The lab needs JavaScript."
    assert [image.get("src") for image in page.iter("img")] == ["a.png", "b.png", "lab.webp"]
    assert [fold.get("open") for fold in page.iter("details")] == ["open"]
    assert "loading" not in still
    assert 'viewBox="0 0 1 1"' in still


def test_pages_link_to_the_whole_book_where_it_was_made(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXTENSIONS)
    import coldlab_paper

    page = tmp_path / "html" / "book" / "index.html"
    page.parent.mkdir(parents=True)
    header = '<div class="article-header-buttons">'
    page.write_text(f"<nav>contents</nav>\n</div>{header}</div>", encoding="utf-8")
    app = SimpleNamespace(builder=SimpleNamespace(name="html"), outdir=tmp_path / "html")
    coldlab_paper.link_whole_book(app, None)
    assert "whole" not in page.read_text(encoding="utf-8")
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "coldlab.epub").write_bytes(b"a book")
    for _ in range(2):  # a page that was not written anew has its link already
        coldlab_paper.link_whole_book(app, None)
        text = page.read_text(encoding="utf-8")
        assert text.count('<a href="../coldlab.epub">ePub</a>') == 1
        assert text.partition(header)[2].count('href="../coldlab.epub" title="The whole book as ePub"') == 1
        assert "coldlab.pdf" not in text
    assert (tmp_path / "html" / "coldlab.epub").read_bytes() == b"a book"


def test_the_epub_names_its_pages_with_formulas(tmp_path, monkeypatch):
    """As EPUBCheck wants it; the whole book's ePub passes that, which takes a minute."""
    pages = {"a.xhtml": b"<math/>", "b.xhtml": b"<p/>"}
    contents = b'<item id="1" href="a.xhtml" /><item id="2" href="b.xhtml" /><reference href="a.xhtml" />'
    monkeypatch.setattr(pdf, "build", lambda builder, folder: tmp_path)
    with zipfile.ZipFile(tmp_path / "made.epub", "w") as made:
        for name, text in {"mimetype": b"application/epub+zip", "content.opf": contents, **pages}.items():
            made.writestr(name, text)
    pdf.make_epub(tmp_path / "ours", tmp_path)
    with zipfile.ZipFile(tmp_path / "ours") as ours:
        assert ours.read("content.opf") == contents.replace(
            b'"1" href="a.xhtml"', b'"1" href="a.xhtml" properties="mathml"'
        )
        assert ours.infolist()[0].filename == "mimetype"
        assert ours.infolist()[0].compress_type == zipfile.ZIP_STORED
