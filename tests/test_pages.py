"""The built book in a real browser: every page, phone and desktop, light and dark, with every other host out of reach.

The book is built once, as `make book` builds it, and served on localhost. Skipped, saying so, without a browser.
"""

import functools
import re
import subprocess
import sys
from pathlib import Path

import chapters
import nbformat
import offline
import pytest

CDN = "https://cdn.jsdelivr.net/npm/mathjax"  # where Sphinx looks for it without a copy
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="
# Something wide in a page that hides what does not fit.
WIDE = (
    "<main><article style='overflow: hidden'>"
    "<{tag} style='display: block; width: 900px'>{inside}</{tag}></article></main>"
)

# What is wrong with a page that has loaded, as a list of sentences.
INSPECT = """() => {
    const faults = [];
    const width = document.documentElement.scrollWidth;
    if (width > window.innerWidth) {
        const wide = [...document.querySelectorAll("main *")]
            .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1).slice(0, 3);
        faults.push(`${width} px wide in a window of ${window.innerWidth}: ` +
            wide.map(e => `${e.tagName} ${e.className}`).join(", "));
    }
    for (const image of document.images) {
        const name = image.src.slice(-60);
        if (!image.alt.trim()) faults.push(`image without alt text: ${name}`);
        if (!image.complete || image.naturalWidth === 0) faults.push(`image that did not load: ${name}`);
    }
    const math = document.querySelectorAll(".math").length;
    const typeset = document.querySelectorAll(".math mjx-container").length;
    const broken = document.querySelectorAll("mjx-merror, [data-mjx-error]").length;
    if (typeset < math || broken) faults.push(`${typeset} of ${math} formulas typeset, ${broken} of them with errors`);

    // Nothing is wider than its box, unless it scrolls in a box that shows it: folded cells are opened first.
    for (const fold of document.querySelectorAll("main details")) fold.open = true;
    const page = document.querySelector("main article") || document.querySelector("main");
    const edge = page ? Math.min(page.getBoundingClientRect().right, window.innerWidth) + 1 : window.innerWidth;
    const tell = (e) => `${e.tagName.toLowerCase()}.${[...e.classList].join(".")} ` +
        `"${(e.alt || e.textContent || "").trim().slice(0, 40)}"`;
    const cued = (e) => {
        for (; e && e.tagName !== "MAIN"; e = e.parentElement) {
            const style = getComputedStyle(e);
            if (style.overflowX === "auto" && style.backgroundImage.includes("gradient") &&
                e.getBoundingClientRect().right <= edge) return true;
        }
        return false;
    };
    const boxes = "main pre, main table, main .cell_output .output, main div.math, main [class^='picture-'], " +
        "main mjx-container[display='true'], main figure, main img, main svg, main dt.sig";
    for (const e of document.querySelectorAll(boxes)) {
        const box = e.getBoundingClientRect();
        if (!box.width || e.closest("[aria-hidden='true'], .headerbtn, button")) continue;
        const over = Math.max(box.right - edge, e.tagName === "IMG" ? 0 : e.scrollWidth - e.clientWidth - 1);
        if (over > 0 && !cued(e)) faults.push(`${Math.ceil(over)} px cut off without a cue: ${tell(e)}`);
    }
    const small = new Set();
    for (const figure of document.querySelectorAll("main [class^='picture-'], main figure")) {
        const words = document.createTreeWalker(figure, NodeFilter.SHOW_TEXT);
        while (words.nextNode()) {
            const size = parseFloat(getComputedStyle(words.currentNode.parentElement).fontSize);
            if (words.currentNode.data.trim() && size < 11) small.add(`${size} px: "${words.currentNode.data.trim()}"`);
        }
    }
    for (const words of small) faults.push(`letters too small in a figure, ${words}`);
    return faults;
}"""


def build(folder: Path) -> Path:
    """The book, built with warnings as errors; the folder of its pages."""
    script = Path(sys.executable).with_name("jupyter-book")
    command = [script, "build", chapters.ROOT, "--path-output", folder, "-W", "--keep-going"]
    built = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace")
    lines = (built.stdout + built.stderr).splitlines()
    told = [line for line in lines if "WARNING" in line or "ERROR" in line or "rror:" in line]
    assert built.returncode == 0, "\n".join(told or lines[-40:])
    return folder / "_build" / "html"


@functools.cache
def offline_copy() -> bool:
    return offline.copy_mathjax() is None


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    offline_copy()  # before the build, which looks for it
    return build(tmp_path_factory.mktemp("book"))


# Images further down come when they are scrolled to: here, at once.
LOAD = """async () => {
    for (const image of document.images) image.loading = "eager";
    const done = (image) => image.complete || new Promise((go) => (image.onload = image.onerror = go));
    await Promise.all([...document.images].map(done));
}"""


def inspect(browser, base: str, names: list[str], width: int, scheme: str, absent: str | None = None) -> list[str]:
    """Open pages one by one and return everything that is wrong with them.

    What lies under the address `absent` is answered with nothing and not held against the page.
    """
    faults = []
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()

    def answer(route):
        url = route.request.url
        if url.startswith((base, "data:", "blob:", "about:")):
            route.continue_()
        elif absent and url.startswith(absent):
            route.fulfill(body="")
        else:
            faults.append(f"{name}: asked another host, {url}")
            route.abort()

    context.route("**/*", answer)
    page.on("console", lambda message: faults.append(f"{name}: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"{name}: {error}"))
    page.on("response", lambda got: faults.append(f"{name}: {got.status} for {got.url}") if got.status >= 400 else None)
    for name in names:
        page.goto(f"{base}/{name}", wait_until="load")
        page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => null) : null")
        page.evaluate(LOAD)
        assert page.evaluate("document.documentElement.dataset.theme") in (scheme, None)
        faults += [f"{name}: {fault}" for fault in page.evaluate(INSPECT)]
    context.close()
    return faults


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1280])
def test_every_page_stands_on_its_own(pages, site, browser, width, scheme):
    names = sorted(str(path.relative_to(pages)) for path in pages.rglob("*.html") if "_static" not in path.parts)
    assert {f"book/{source.stem}.html" for source in chapters.sources()} <= set(names)
    names.remove("index.html")  # it leads on to book/index.html at once
    assert "url=book/index.html" in (pages / "index.html").read_text(encoding="utf-8")
    if offline_copy():
        assert inspect(browser, site(pages), names, width, scheme) == []
    else:
        faults = inspect(browser, site(pages), names, width, scheme, absent=CDN)
        assert [fault for fault in faults if "formulas typeset" not in fault] == []
        pytest.skip("nothing else is wrong, but these pages load MathJax from its CDN: no copy could be had from npm")


def test_pages_are_light_and_their_images_are_files(pages):
    for page in pages.rglob("book/*.html"):
        text = page.read_text(encoding="utf-8")
        assert len(text) < 700_000, page.name
        longest = max(map(len, re.findall(r"data:image/[a-z]+;base64,[\w+/=]*", text)), default=0)
        assert longest < 2100, page.name
        for name in re.findall(r'src="../_images/([^"]+)"', text):
            assert (pages / "_images" / name).stat().st_size > 0


def test_every_control_has_the_name_that_is_seen(pages):
    """A fold is called by what stands on it; the arrows of the menu and the button of the search have names."""
    for page in pages.rglob("book/*.html"):
        text = page.read_text(encoding="utf-8")
        assert "Toggle hidden content" not in text
        assert '<summary><span class="toctree-toggle"' not in text
        assert not re.search(r'search-button-field[^>]*aria-label="Search"', text)


def test_the_lab_lies_where_its_pages_look_for_it(pages):
    static = pages / "_static"
    for folder, laid_out in (("live", "live"), ("coldlab/weights", "weights")):
        files = [path for path in (chapters.ROOT / folder).iterdir() if path.suffix != ".md"]
        assert {path.name: (static / laid_out / path.name).read_bytes() for path in files} == {
            path.name: path.read_bytes() for path in files
        }


@pytest.mark.parametrize("name", ["index", "lab", "04_sampling", "06_generation", "10_beyond"])
def test_a_lab_stands_where_elsewhere_a_sentence_leads_to_it(pages, name):
    text = (pages / "book" / f"{name}.html").read_text(encoding="utf-8")
    assert text.count("../_static/live/lab.js") == text.count("<cold-lab") == 1
    assert "The lab needs JavaScript" in text
    assert not re.search("stands? here", text)
    [source] = [p for p in (chapters.ROOT / "book").glob(f"{name}.*") if p.suffix in (".md", ".py")]
    place = source.read_text(encoding="utf-8").partition("<cold-lab")[2].partition("</cold-lab>")[0]
    page, anchor = re.search(r'href="https://[^"]*/book/(\w+)\.html(?:#([\w-]+))?"', place).groups()
    assert page == name
    assert anchor is None or f'id="{anchor}"' in text
    assert not re.search(r"\n(# ?)?\n", place)  # a blank line would end the HTML


def test_formulas_were_there_to_be_typeset(pages):
    texts = [(pages / "book" / f"{source.stem}.html").read_text(encoding="utf-8") for source in chapters.sources()]
    assert all('class="math' in text for text in texts)
    assert all(("_static/offline/mathjax/" in text) == offline_copy() for text in texts)
    assert all((CDN in text) != offline_copy() for text in texts)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="https://example.org/a.png" alt="a">', "asked another host"),
        ('<img src="missing.png" alt="a">', "404"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=">', "without alt"),
        ('<main><div style="width: 2000px">wide</div></main>', "px wide"),
        ("<script>undefined.x</script>", "undefined"),
        ('<span class="math">x</span>', "0 of 1 formulas"),
        (f"<main><article style='overflow: hidden'><pre>{'x' * 200}</pre></article></main>", "cut off without a cue"),
        (f"<main><article><pre style='overflow-x: auto'>{'x' * 200}</pre></article></main>", "cut off without a cue"),
        (WIDE.format(tag="table", inside="<tr><td>x</td></tr>"), "cut off without a cue: table"),
        (WIDE.format(tag="figure", inside="x"), "cut off without a cue: figure"),
        (WIDE.format(tag="span", inside=f"<img src='data:image/png;base64,{PIXEL}' alt='a' width=900>"), "cue: img"),
        ("<main><div class='picture-rows' style='font-size: 10px'>t = 3</div></main>", "too small in a figure, 10 px"),
    ],
)
def test_a_broken_page_is_seen(tmp_path, site, browser, body, fault):
    (tmp_path / "page.html").write_text(
        f'<!doctype html><link rel="icon" href="data:,"><body>{body}</body>', encoding="utf-8"
    )
    assert fault in " ".join(inspect(browser, site(tmp_path), ["page.html"], 360, "light"))


def test_what_scrolls_and_shows_it_may_be_wide(tmp_path, site, browser):
    style = "overflow-x: auto; background-image: linear-gradient(to left, grey, transparent)"
    body = f"<main><article><pre style='{style}'>{'x' * 200}</pre></article></main>"
    page = f'<!doctype html><link rel="icon" href="data:,"><body>{body}</body>'
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert inspect(browser, site(tmp_path), ["page.html"], 380, "light") == []


def test_the_first_page_shows_itself_on_a_phone_at_once(pages, site, browser):
    """Title, moving pictures, slider and the four doors lie in the first 780 pixels; the slider reacts to keys."""
    page = browser.new_page(viewport={"width": 380, "height": 780}, reduced_motion="reduce")
    page.goto(f"{site(pages)}/book/index.html", wait_until="load")
    for part in ("article h1", ".landing-slider img", ".landing-slider input", ".landing-doors a >> nth=3"):
        box = page.locator(f"main {part}").first.bounding_box()
        if part == ".landing-slider img":  # the frames below each other; the window shows one
            box = page.locator("main .landing-slider > div").first.bounding_box()
        assert box["y"] + box["height"] <= 780, part
    slider = page.locator("main .landing-slider input")
    image = page.locator("main .landing-slider img")
    before = image.evaluate("e => getComputedStyle(e).transform")
    slider.press("ArrowRight")
    assert image.evaluate("e => getComputedStyle(e).transform") != before
    assert page.locator("main .landing-slider output").inner_text() == "coming back: step 1 of 20"
    page.close()


@pytest.mark.parametrize("alt", ["Two squares, one sharp.", ""])
def test_an_image_without_alt_text_fails_the_build(tmp_path, alt):
    """A notebook figure takes its alt text from its output; without one the book does not build."""
    settings = f"""
import sys
sys.path.insert(0, {str(chapters.ROOT / "book" / "_ext")!r})
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
