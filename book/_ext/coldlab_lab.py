"""The live lab in the book's pages: `<cold-lab ...>` in a chapter becomes the lab, and its files are laid out.

A chapter is also read in Colab and on GitHub, which drop an element that they do not know and keep what is in it: a
sentence with a link. The book puts a picture in its place, which the lab replaces when its script has come.
"""

import functools
import re
import shutil
from pathlib import Path

from docutils import nodes

PLACE = re.compile(r"<cold-lab(?P<settings>[^>]*)>(?P<otherwise>.*?)</cold-lab>", re.DOTALL)
TEMPLATE = "book/static/lab.html"
SCRIPT = re.compile(r"<script.*?</script>|<noscript>.*?</noscript>", re.DOTALL)


def labs(book: Path) -> dict[str, re.Match]:
    """{page: the place of its lab} of the folder `book`."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (*book.glob("*.md"), *book.glob("*.py"))}
    found = {name: PLACE.search(re.sub(r"^# ?", "", text, flags=re.MULTILINE)) for name, text in texts.items()}
    return {name: match for name, match in found.items() if match}


def place(template: str, up: str, live: bool, found: re.Match) -> str:
    """The HTML for one `<cold-lab>`. up: the way to the book's root; live: in a page, and not on paper."""
    text = template.replace("<cold-lab>", f"<cold-lab{found['settings']}>").replace("../", up)
    if live:
        return text
    still = SCRIPT.sub("", text).replace("cold-lab", "div").strip()
    return still.replace("</div>", f"{found['otherwise']}</div>")


def place_labs(app, doctree, docname) -> None:
    places = [node for node in doctree.findall(nodes.raw) if PLACE.search(node.astext())]
    if not places:
        return
    template = (Path(app.confdir) / TEMPLATE).read_text(encoding="utf-8")
    put = functools.partial(place, template, "../" * docname.count("/"), app.builder.name in ("html", "dirhtml"))
    for node in places:
        node.replace_self(nodes.raw("", PLACE.sub(put, node.astext()), format="html"))


def lay_out_lab(root: Path, static: Path) -> None:
    """Copy the live lab's files, and the weights as they ship, to where its pages look for them.

    They are copied and not static files of Sphinx's, which would want every script on every page.
    """
    for source, target in (("live", "live"), ("coldlab/weights", "weights")):
        files = [path for path in (root / source).iterdir() if path.suffix != ".md"]
        (static / target).mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copyfile(path, static / target / path.name)


def add_lab(app, exception) -> None:
    root = Path(app.confdir)
    if not exception and app.builder.format == "html" and (root / "live").is_dir():
        lay_out_lab(root, Path(app.outdir) / "_static")


def setup(app):
    app.connect("doctree-resolved", place_labs)
    app.connect("build-finished", add_lab)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
