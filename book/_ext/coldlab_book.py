"""What this book adds to Sphinx: alt text for notebook figures, names for folded cells, a badge of its own,
plain docstrings, link previews, files for the images that notebooks carry inside their HTML, names for a theme's nameless controls, measured pictures (coldlab_rows), and the live lab (coldlab_lab).

An image without alt text is a warning, and the book is built with warnings as errors.
"""

import base64
import hashlib
import html
import re
from pathlib import Path

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
COLAB_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
LOCAL_BADGE = "/book/static/open-in-colab.svg"
INLINE = re.compile(r'(src|srcset)="data:image/(png|webp|jpeg);base64,([A-Za-z0-9+/=]{2000,})"')  # smaller ones cost a request more


def with_alt(render_image):
    """MyST-NB's own image renderer, which leaves an output's alt text unused, with that text."""

    def render(self: NbElementRenderer, data: MimeData) -> list[nodes.Element]:
        images = render_image(self, data)
        for image in images:
            image.setdefault("alt", data.output_metadata.get(data.mime_type, {}).get("alt", ""))
        return images

    return render


class Images(SphinxTransform):
    """Serve the Colab badge from the book (notebooks need its public address) and ask every image for its alt text."""

    default_priority = 210

    def apply(self, **kwargs) -> None:
        for image in self.document.findall(nodes.image):
            if image["uri"] == COLAB_BADGE:
                image["uri"] = LOCAL_BADGE
            if not image.get("alt", "").strip():
                LOGGER.warning("image without alt text: %s", image["uri"], location=image, type="coldlab")


# What a folded cell is, by its tag; a reader then knows what opening it gives away.
FOLDED = {"colab": "Install", "solution": "Solution", "check": "Check", "plot": "Plot"}  # any other: "Code"


class Folds(SphinxTransform):
    """Write on each folded cell what is in it, where MyST-NB says "Show code cell" of all."""

    default_priority = 210

    def apply(self, **kwargs) -> None:
        for cell in self.document.findall(nodes.container):
            label = next((name for tag, name in FOLDED.items() if f"tag_{tag}" in cell["classes"]), "Code")
            if "prompt_show" in cell:
                cell["prompt_show"] = cell["prompt_hide"] = label


def read_plainly(app, what, name, obj, options, lines) -> None:
    """Show docstrings as they are written: plain text, `names` in backticks, formulas with * and _ as they stand.

    An indented block stays a block of code; a block that is indented in part keeps its lines.
    """
    blocks = [block.strip("\n").split("\n") for block in re.split(r"\n\s*\n", "\n".join(lines)) if block.strip()]
    lines.clear()
    for block in blocks:
        indented = [line.startswith(" ") for line in block]
        if all(indented):
            lines += ["::", "", *block, ""]
        else:
            # Odd pieces stand between backticks; in the others every mark of reStructuredText is taken literally.
            pieces = re.split(r"`+", "\n".join(block))
            text = "".join(
                f"\\ ``{piece}``\\ " if place % 2 and piece.strip() else re.sub(r"([*_|\\])", r"\\\1", piece)
                for place, piece in enumerate(pieces)
            )
            lines += [f"| {line}" if any(indented) else line for line in text.split("\n")] + [""]


def add_preview(app, pagename, templatename, context, doctree) -> None:
    """Describe the page to search engines and link previews by its first paragraph."""
    if doctree is None:
        return
    paragraphs = (" ".join(node.astext().split()) for node in doctree.findall(nodes.paragraph))
    text = next((paragraph for paragraph in paragraphs if len(paragraph) > 60), app.config.html_title)
    text = text if len(text) <= 200 else text[:197].rsplit(" ", 1)[0] + " ..."
    heading = doctree.next_node(nodes.title)
    tags = {
        'name="description"': text,
        'property="og:title"': heading.astext() if heading else pagename,
        'property="og:description"': text,
        'property="og:type"': "article",
        'property="og:site_name"': app.config.html_title,
        'property="og:url"': context.get("pageurl") or "",
    }
    lines = [f'<meta {key} content="{html.escape(value)}" />' for key, value in tags.items() if value]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def save_inline(app, pagename, templatename, context, doctree) -> None:
    """Write the images inside a page's HTML to files, which a browser loads when they come into view.

    A notebook has to carry them; a page of film strips would be two megabytes long.
    """

    def saved(found) -> str:
        where, kind, content = found[1], found[2], base64.b64decode(found[3])
        name = f"{hashlib.blake2b(content, digest_size=10).hexdigest()}.{kind}"
        folder = Path(app.outdir) / "_images"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        lazy = ' loading="lazy"' if where == "src" else ""
        return f'{where}="{context["pathto"](f"_images/{name}", 1)}"{lazy}'

    if "body" in context:
        context["body"] = INLINE.sub(saved, context["body"])


# What the theme and its parts leave without a name, or name other than what stands there.
NAMED = {
    '<summary aria-label="Toggle hidden content">': "<summary>",
    '<summary><span class="toctree-toggle"': '<summary aria-label="Pages below"><span class="toctree-toggle"',
    '<button class="btn search-button-field search-button__button" title="Search" aria-label="Search"': (
        '<button class="btn search-button-field search-button__button"'
    ),
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    '<table class="table">': '<table class="table" tabindex="0">',  # wide ones scroll; the arrow keys then reach them
}


EDITED = re.compile(r"(/edit/[^\"]*/book/\d\d_\w+)\.ipynb")  # a chapter is written in its .py


def mend(app, exception) -> None:
    """Mend the finished pages for those who hear them or have no mouse."""
    if exception or app.builder.name != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        mended = text
        for found, better in NAMED.items():
            mended = mended.replace(found, better)
        mended = EDITED.sub(r"\1.py", mended)
        if mended != text:
            page.write_text(mended, encoding="utf-8")


def setup(app):
    # MyST-NB takes another renderer only from the entry points of an installed package; a book is not one.
    NbElementRenderer.render_image = with_alt(NbElementRenderer.render_image)
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("coldlab_lab")
    app.setup_extension("coldlab_rows")
    app.add_transform(Images)
    app.add_transform(Folds)
    app.connect("autodoc-process-docstring", read_plainly)
    app.connect("html-page-context", add_preview)
    app.connect("html-page-context", save_inline)
    app.connect("build-finished", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
