"""What the book adds to Sphinx, tried on books of one page: alt text, formulas, the pictures of link previews."""

import subprocess
import sys

import chapters
import nbformat
import pytest
from PIL import Image

EXTENSIONS = chapters.ROOT / "book" / "_ext"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="


@pytest.mark.parametrize("alt", ["Two squares, one sharp.", ""])
def test_an_image_without_alt_text_fails_the_build(tmp_path, alt):
    """A notebook figure takes its alt text from its output; without one the book does not build."""
    settings = f"""
import sys
sys.path.insert(0, {str(EXTENSIONS)!r})
extensions = ["myst_nb", "coldlab_book"]
nb_execution_mode = "off"
"""
    (tmp_path / "conf.py").write_text(settings, encoding="utf-8")
    output = nbformat.v4.new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": alt}})
    cells = [nbformat.v4.new_markdown_cell("# One"), nbformat.v4.new_code_cell("1", outputs=[output])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=chapters.METADATA), tmp_path / "index.ipynb")
    command = [sys.executable, "-m", "sphinx", "-W", "-b", "html", str(tmp_path), str(tmp_path / "html")]
    built = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if alt:
        assert built.returncode == 0, built.stdout + built.stderr
        assert f'alt="{alt}"' in (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    else:
        assert built.returncode == 2
        assert "image without alt text" in built.stderr


@pytest.mark.parametrize(
    ("formula", "fault"), [("\\frac{1}{2}", ""), ("\\frac{1", "expected '}'"), ("\\nosuch", "nosuch")]
)
def test_a_formula_that_cannot_be_drawn_fails_the_build(tmp_path, formula, fault):
    settings = f"""
import sys
sys.path.insert(0, {str(EXTENSIONS)!r})
extensions = ["myst_nb", "coldlab_formulas"]
myst_enable_extensions = ["dollarmath"]
"""
    (tmp_path / "conf.py").write_text(settings, encoding="utf-8")
    (tmp_path / "index.md").write_text(f"# One\n\nA half is ${formula}$.\n", encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-W", "-b", "html", str(tmp_path), str(tmp_path / "html")]
    built = subprocess.run(command, capture_output=True, text=True, errors="replace")
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
