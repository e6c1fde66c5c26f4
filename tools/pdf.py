"""The whole book as a PDF and an ePub, in _build/paper: `make pdf`.

    python tools/pdf.py            # both
    python tools/pdf.py epub       # the ePub alone, which needs no browser

Sphinx writes the ePub. For the PDF it writes one long page, which Chromium prints.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import chapters
import console
import weigh

from coldlab import storage

PRINTED = """
@page { size: A4; margin: 18mm 17mm 20mm; }
html { font-size: 12.5px; }
header, footer, .bd-sidebar, .bd-sidebar-secondary, .bd-header, .bd-header-article, .prev-next-footer,
.skip-link, #pst-skip-link, .search-button__wrapper { display: none !important; }
.bd-main .bd-content .bd-article-container, .bd-article-container, .bd-content, .bd-container__inner {
  display: block !important; margin: 0 !important; max-width: none !important;
  padding: 0 !important; width: 100% !important;
}
span[id^="document-book"] + section { break-before: page; }
.bd-content h1, .bd-content h2 { page-break-before: auto; }
h1, h2, h3, h4, summary, dt { break-after: avoid; }
pre, .bd-content div.highlight pre, .bd-content div.cell_output pre {
  font-size: 10px !important; white-space: pre-wrap !important; overflow-wrap: anywhere; }
.cell, .cell_output, section, details { break-inside: auto !important; }
pre, .highlight, .cell_input { break-inside: avoid !important; }
tr, img, figure, svg, .katex-display, [class^="picture-"] > div { break-inside: avoid; }
.bd-content * { max-height: none !important; }
.bd-content pre, .bd-content .highlight, .bd-content .cell_input, .bd-content .cell_output, .bd-content .output,
.bd-content table, .bd-content div.math, .bd-content .katex-display {
  background-image: none !important; overflow: visible !important;
}
.bd-content article table:not(.dataframe) { display: table !important; font-size: 9.5px; width: 100% !important; }
.bd-content div.cell_output .output > img, .bd-content div.cell_output > img { max-width: 100% !important; }
details > summary::marker { content: ""; }
"""
FOOT = "<div style='font-size:8px;width:100%;text-align:center;color:#666'><span class='pageNumber'></span></div>"
NO_BROWSER = (
    "The PDF is not made: printing it needs a browser, and none of {} is installed (the ePub needs none: "
    "python tools/pdf.py epub)."
)


def build(builder: str, folder: Path) -> Path:
    """The book by one of Sphinx's builders; the folder of its pages."""
    script = Path(sys.executable).with_name("jupyter-book")
    shutil.rmtree(folder / "_build" / builder, ignore_errors=True)  # nothing that was built otherwise gets in
    kind = ["singlehtml"] if builder == "singlehtml" else ["custom", "--custom-builder", builder]
    command = [script, "build", chapters.ROOT, "--path-output", folder, "--builder", *kind, "-W", "--keep-going", "-q"]
    if subprocess.run([str(part) for part in command]).returncode:
        sys.exit(f"the book could not be built for {builder}; Sphinx says above why")
    return folder / "_build" / builder


def make_epub(target: Path, folder: Path) -> None:
    """Sphinx's ePub, with what its list of contents does not say: which pages hold MathML."""
    made = next(build("epub", folder).glob("*.epub"))
    with zipfile.ZipFile(made) as sphinxs, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as ours:
        texts = {entry.filename: sphinxs.read(entry) for entry in sphinxs.infolist()}
        with_formulas = [name for name, text in texts.items() if name.endswith(".xhtml") and b"<math" in text]
        contents = texts["content.opf"].decode()
        for name in with_formulas:
            contents = re.sub(rf'(<item [^>]*href="{re.escape(name)}")', r'\1 properties="mathml"', contents)
        texts["content.opf"] = contents.encode()
        for entry in sphinxs.infolist():  # "mimetype" stays first and unpacked, by which a reader knows an ePub
            ours.writestr(entry.filename, texts[entry.filename], compress_type=entry.compress_type)


def make_pdf(target: Path, folder: Path) -> None:
    if weigh.browser_path() is None:
        sys.exit(NO_BROWSER.format(", ".join(weigh.BROWSERS)))
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("The PDF is not made: printing it needs playwright (python -m pip install playwright).")
    pages = build("singlehtml", folder)
    text = (pages / "book" / "index.html").read_text(encoding="utf-8")
    storage.write_text(pages / "whole.html", text.replace('"../_static', '"_static'))  # where Sphinx thinks it is
    server = weigh.serve(pages)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=weigh.browser_path(), args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light", viewport={"width": 1000, "height": 1400})
        page.goto(f"http://127.0.0.1:{server.server_port}/whole.html", wait_until="load", timeout=120_000)
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_function("[...document.images].every((image) => image.complete)", timeout=120_000)
        page.add_style_tag(content=PRINTED)
        page.evaluate("document.fonts.ready.then(() => null)")
        page.pdf(
            path=str(target), prefer_css_page_size=True, print_background=True, outline=True, tagged=True,
            display_header_footer=True, header_template="<span></span>", footer_template=FOOT,
        )  # fmt: skip
        browser.close()
    server.shutdown()


MAKERS = {"epub": make_epub, "pdf": make_pdf}


def main(kinds: list[str], root: Path = chapters.ROOT) -> int:
    if set(kinds) - set(MAKERS):
        print(__doc__)
        return 2
    folder = root / "_build" / "paper"
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds or MAKERS:
        target = folder / f"coldlab.{kind}"
        MAKERS[kind](target, root)
        print(f"{target}: {target.stat().st_size / 1e6:.1f} MB", flush=True)
    return 0


if __name__ == "__main__":
    console.degrade()
    sys.exit(main(sys.argv[1:]))
