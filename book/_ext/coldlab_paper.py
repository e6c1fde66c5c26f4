"""The book where nothing moves: on paper (the single page that tools/pdf.py prints) and in an ePub.

Sliders and the lab stand as their pictures and say so; code that only draws, checks or installs is left out; solutions
are open. The rest is the book's. `make pdf` makes both files, and pages that are built afterwards link to them.
"""

import re
import shutil
from pathlib import Path

FILES = {"coldlab.pdf": "PDF", "coldlab.epub": "ePub"}  # in _build/paper
LEFT_OUT = "script, button, .headerlink, .tag_colab, .tag_check, .tag_plot details.hide, .landing-doors, a.viewcode-link, summary svg"
NOT_XHTML = ("loading", "autocomplete", "align", "valign", "border", "frame", "rules", "bgcolor", "compact", "tabindex")
LINKS = re.compile(r'<p class="whole-book">.*?</p>|<a class="whole-book .*?</a>')
HEADER = '<div class="article-header-buttons">'
SIDEBAR_END = re.compile(r"(</nav>)(?=\s*</div>)")
OF_THE_THEMES = ("sphinx_book_theme", "pydata_sphinx_theme", "jupyter_book", "sphinx_togglebutton")


def still(body: str, xhtml: bool = False) -> str:
    """The body of a page without what moves or is folded; as XHTML if asked for."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(body, "html.parser")
    for slider in soup.select("input[type=range]"):
        told = soup.new_tag("em")
        told.string = "A slider moves this in the online book."
        slider.replace_with(told)
    for lab in soup.select("cold-lab"):
        for words in lab.select("noscript"):
            words.unwrap()
        lab.name = "div"
    for part in soup.select(LEFT_OUT):
        part.decompose()
    for fold in soup.select("details"):
        fold["open"] = "open"
    for part in soup.select("input, output, select, label"):
        part.decompose() if part.name == "input" else setattr(part, "name", "span")
    if xhtml:
        for part in soup.find_all(True):
            for name in (*NOT_XHTML, *(key for key in part.attrs if key.startswith(("data-", "on")))):
                part.attrs.pop(name, None)
        for source in soup.select("picture > source"):  # for phones in the web; ePub asks it for more
            source.decompose()
        for title in soup.select("summary p"):
            title.name = "span"
    return soup.decode(formatter="minimal").replace("viewbox=", "viewBox=")  # the parser has no capitals


def stand_still(app, pagename, templatename, context, doctree) -> None:
    if "body" in context and app.builder.name in ("singlehtml", "epub"):
        context["body"] = still(context["body"], app.builder.name == "epub")
    if app.builder.name == "epub":  # this one is written too late for it
        context["css_files"] = [style for style in context["css_files"] if "mystnb" not in str(style.filename)]


def prepare_epub(app) -> None:
    """Leave out the web theme's additions, which ask for options that an ePub does not have, and what only web pages use."""
    if app.builder.name == "epub":
        static = Path(app.confdir) / "book" / "static"
        left_out = [f"_static/{path.relative_to(static).as_posix()}" for path in (static / "katex").rglob("*")]
        left_out += [f"_static/{path.name}" for path in static.glob("*.html")]
        app.config.epub_exclude_files = [*app.config.epub_exclude_files, *left_out]
        for event in ("html-page-context", "build-finished"):
            heard = app.events.listeners.get(event, [])
            app.events.listeners[event] = [one for one in heard if not one.handler.__module__.startswith(OF_THE_THEMES)]


def link_whole_book(app, exception) -> None:
    """Serve the PDF and the ePub with the book, and link to them in header and contents, where they were made."""
    if exception or app.builder.name != "html":
        return
    made = [name for name in FILES if (Path(app.outdir).parent / "paper" / name).exists()]
    for name in made:
        shutil.copyfile(Path(app.outdir).parent / "paper" / name, Path(app.outdir) / name)
    for page in Path(app.outdir).glob("book/*.html"):
        text = page.read_text(encoding="utf-8")
        links = " · ".join(f'<a href="../{name}">{FILES[name]}</a>' for name in made)
        linked = LINKS.sub("", text)
        if made:
            linked = SIDEBAR_END.sub(rf'\1<p class="whole-book">The whole book: {links}</p>', linked, count=1)
            name = made[0]
            words = f"The whole book as {FILES[name]}"
            button = f'<a class="whole-book btn btn-sm" href="../{name}" title="{words}" aria-label="{words}">'
            linked = linked.replace(HEADER, f'{HEADER}{button}<i class="fas fa-file-pdf"></i></a>', 1)
        if linked != text:
            page.write_text(linked, encoding="utf-8")


def setup(app):
    app.connect("builder-inited", prepare_epub)
    app.connect("html-page-context", stand_still, priority=800)
    app.connect("build-finished", link_whole_book, priority=950)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
