"""The built book in a real browser: every page, phone and desktop, light and dark, with every other host out of reach.

The book is built once, as `make book` builds it, and served on localhost. Skipped, saying so, without a browser.
"""

import functools
import gzip
import html
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import chapters
import pytest
import stamp
import weigh
from bs4 import BeautifulSoup
from fontTools import ttLib
from PIL import Image

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="
# Something wide in a page that hides what does not fit.
WIDE = (
    "<main><article style='overflow: hidden'>"
    "<{tag} style='display: block; width: 900px'>{inside}</{tag}></article></main>"
)

# What is wrong with a page that has loaded, as a list of sentences.
INSPECT = r"""() => {
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
    const typeset = document.querySelectorAll(".math .katex math").length;
    const plain = [...document.querySelectorAll(".math .katex")]
        .filter(e => !getComputedStyle(e).fontFamily.includes("KaTeX")).length;
    if (typeset < math || plain) faults.push(`${typeset} of ${math} formulas typeset, ${plain} of them plain`);
    const aside = [...document.querySelectorAll("main div.math > .katex-display")]
        .filter(e => e.offsetWidth < e.parentElement.clientWidth - 2).length;
    if (aside) faults.push(`${aside} formulas on lines of their own, not in the middle`);

    // Nothing is wider than its box, unless it scrolls in a box that shows it: folded cells are opened first.
    for (const fold of document.querySelectorAll("main details")) fold.open = true;
    const page = document.querySelector("main article") || document.querySelector("main");
    const edge = page ? Math.min(page.getBoundingClientRect().right, window.innerWidth) + 1 : window.innerWidth;
    const tell = (e) => `${e.tagName.toLowerCase()}.${[...e.classList].join(".")} ` +
        `"${(e.alt || e.textContent || "").trim().slice(0, 40)}"`;
    const cued = (e) => {
        for (; e && e.tagName !== "MAIN"; e = e.parentElement) {
            const style = getComputedStyle(e);
            const cue = style.backgroundImage + style.maskImage; // a shadow, or an end that fades
            if (style.overflowX === "auto" && cue.includes("gradient") && e.scrollWidth > e.clientWidth &&
                e.getBoundingClientRect().right <= edge) return true;
        }
        return false;
    };
    const boxes = "main pre, main table, main .cell_output .output, main div.math, main [class^='picture-'], " +
        "main .katex-display, main figure, main img, main svg, main dt.sig";
    for (const e of document.querySelectorAll(boxes)) {
        const box = e.getBoundingClientRect();
        if (!box.width || e.closest("[aria-hidden='true'], .headerbtn, button")) continue;
        const over = Math.max(box.right - edge, e.tagName === "IMG" ? 0 : e.scrollWidth - e.clientWidth - 1);
        if (over > 0 && !cued(e)) faults.push(`${Math.ceil(over)} px cut off without a cue: ${tell(e)}`);
    }
    for (const e of document.querySelectorAll("main *")) {
        const fits = e.clientWidth < 2 || e.scrollWidth <= e.clientWidth + 1;
        if (fits || getComputedStyle(e).overflowX !== "auto") continue;
        if (e.tabIndex < 0 && !e.querySelector("a[href], button, input, [tabindex='0']"))
            faults.push(`scrolls, but not by keys: ${tell(e)}`);
    }
    for (const row of document.querySelectorAll("main table:not(.dataframe) :is(tr, th, td)")) {
        const colour = getComputedStyle(row).backgroundColor; // clear, or a tint that lets the shadow through
        if (!/^transparent$|[,/] 0(\.\d+)?\)$/.test(colour))
            faults.push(`cells hide the shadow, ${colour}: ${tell(row)}`);
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
    // Words in a measured picture are drawn at 10 points and 200 dots an inch.
    for (const e of document.querySelectorAll("main :is(.image-reference, .output) > img[src$='.png']")) {
        const size = 10 / 72 * 200 * e.clientWidth / e.naturalWidth;
        if (e.clientWidth > 100 && size < 11)
            faults.push(`letters too small in a picture, ${size.toFixed(1)} px: ${tell(e)}`);
    }
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


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return build(tmp_path_factory.mktemp("book"))


# Images further down come when they are scrolled to: here, at once. Which file of a srcset it is, a new width has
# decided after a frame.
LOAD = """async () => {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    for (const image of document.images) image.loading = "eager";
    const done = (image) => image.complete || new Promise((go) => (image.onload = image.onerror = go));
    await Promise.all([...document.images].map(done));
}"""

FOLLOWED = "scheme => [scheme, undefined].includes(document.documentElement.dataset.theme)"


def inspect(browser, base: str, names: list[str], *widths: int) -> list[str]:
    """Open pages one by one, look at each in these widths, light and dark, and return everything that is wrong."""
    faults, looks = [], [(width, scheme) for width in widths for scheme in ("light", "dark")]
    context = browser.new_context()
    page = context.new_page()

    def asked(request):  # listening, not routing, which would keep the browser from caching what pages share
        if not request.url.startswith((base, "data:", "blob:", "about:")):
            faults.append(f"{name}: asked another host, {request.url}")

    page.on("request", asked)
    page.on("console", lambda message: faults.append(f"{name}: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"{name}: {error}"))
    page.on("response", lambda got: faults.append(f"{name}: {got.status} for {got.url}") if got.status >= 400 else None)
    for name in names:
        page.goto("about:blank")  # or the page before would be laid out once more
        for k, (width, scheme) in enumerate(looks):  # the page follows its reader's screen
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            if k == 0:
                page.goto(f"{base}/{name}", wait_until="load")
            page.evaluate(LOAD)
            page.evaluate(FOLLOWED, scheme) or page.wait_for_function(FOLLOWED, arg=scheme)  # waiting asks by the frame
            faults += [f"{name}, {width} px, {scheme}: {fault}" for fault in page.evaluate(INSPECT)]
    context.close()
    return faults


def test_every_page_stands_on_its_own(pages, site, browser):
    names = sorted(str(path.relative_to(pages)) for path in pages.rglob("*.html") if "_static" not in path.parts)
    assert {f"book/{source.stem}.html" for source in chapters.sources()} <= set(names)
    names.remove("404.html")  # its links are absolute: see below
    names.remove("index.html")  # it leads on to book/index.html at once
    assert "url=book/index.html" in (pages / "index.html").read_text(encoding="utf-8")
    assert inspect(browser, site(pages), names, 380, 1280) == []


def test_without_javascript_no_text_runs_through_the_icons_above_it(pages, site, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site(pages)}/book/04_sampling.html")
    colour = page.evaluate("getComputedStyle(document.querySelector('.bd-header-article')).backgroundColor")
    context.close()
    assert colour == "rgb(255, 255, 255)"


def test_pages_are_light_and_their_images_are_files(pages):
    for page in pages.rglob("book/*.html"):
        text = page.read_text(encoding="utf-8")
        assert page.stat().st_size < 700_000, page.name
        longest = max(map(len, re.findall(r"data:image/[a-z]+;base64,[\w+/=]*", text)), default=0)
        assert longest < 2100, page.name
        for name in re.findall(r'src="../_images/([^"]+)"', text):
            assert (pages / "_images" / name).stat().st_size > 0


class Links:
    """The anchors that a page has, and the addresses that it names; by patterns, since a parser takes a minute."""

    def __init__(self, path):
        text = re.sub(r"(?s)(<script\b[^>]*>).*?</script>", r"\1", path.read_text(encoding="utf-8"))
        text = "".join(re.findall(r"<\w[^>]*>", text))
        named = re.findall(r'\b(?:href|src|poster)="([^"]+)"', text)
        named += [part.split()[0] for found in re.findall(r'\bsrcset="([^"]+)"', text) for part in found.split(", ")]
        self.named = {html.unescape(address) for address in named}
        self.anchors = {html.unescape(anchor) for anchor in re.findall(r'\b(?:id|name)="([^"]+)"', text)}


def lost_links(pages, repository):
    """Every address of the built pages that leads to no file or anchor of theirs, or to no file of this repository."""
    read, faults = functools.cache(Links), []
    for page in sorted(pages.rglob("*.html")):
        if "_static" in page.parts:
            continue
        for named in sorted(read(page).named):
            address, _, anchor = named.partition("#")
            if address.startswith(repository):
                address = re.sub(r"^/(blob|tree|edit|raw)/main", "", address[len(repository) :].partition("?")[0])
                ours = address.strip("/").partition("/")[0] not in ("issues", "issues.git")
                target = chapters.ROOT / urllib.parse.unquote(address.strip("/"))
                if ours and not target.exists():
                    faults.append(f"{page.name}: {named} is no file of the repository")
                elif ours and anchor and anchor not in headings(target / "README.md" if target.is_dir() else target):
                    faults.append(f"{page.name}: {named} is no heading there")
                continue
            if re.match(r"[a-z]+:|//", named):  # another host's, or data
                continue
            path = urllib.parse.unquote(address.partition("?")[0])
            if path and page.name == "404.html":  # served at any depth, so its addresses begin at the site's
                target = pages / path.removeprefix("/").partition("/")[2]
            else:
                target = page.parent / path if path else page
            target = target.resolve() / "index.html" if target.is_dir() else target.resolve()
            if not target.exists():
                faults.append(f"{page.name}: {named} is no file")
            elif anchor and urllib.parse.unquote(anchor) not in read(target).anchors:
                faults.append(f"{page.name}: {named} is no anchor there")
    return faults


def headings(path):
    """The anchors that GitHub gives to a Markdown file's headings."""
    told = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in told}


def test_every_link_of_the_book_leads_somewhere(pages):
    """Those to other hosts are tried weekly (.github/workflows/weekly.yml)."""
    repository = "https://github.com/" + "/".join(stamp.current(chapters.ROOT).group("owner", "name"))
    assert len(Links(pages / "book" / "index.html").named) > 50
    assert lost_links(pages, repository) == []


def test_every_link_between_the_files_of_the_repository_leads_somewhere():
    """Those of the files that GitHub shows: the book's own are Sphinx's, who warns."""
    pages = [*chapters.ROOT.glob("*.md"), *(chapters.ROOT / name / "README.md" for name in ("live", "results"))]
    lost, found = [], 0
    for page in pages:
        for named in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", named):
                continue
            address, _, anchor = named.partition("#")
            target, found = (page.parent / address) if address else page, found + 1
            if not target.exists() or (anchor and anchor not in headings(target)):
                lost.append(f"{page.name}: {named}")
    assert lost == []
    assert found > 20


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="there.html">', "is no file"),
        ('<a href="#there">', "is no anchor"),
        ('<img srcset="here.png 2x">', "is no file"),
        ('<a href="https://github.com/O/r/blob/main/there.md">', "is no file of the repository"),
        ('<a href="https://github.com/O/r/tree/main/results#there">', "is no heading"),
        ('<p id="here"><a href="#here"><a href="page.html#here"><a href="https://example.org/x"><a href=".">', None),
        ('<a href="https://github.com/O/r"><a href="https://github.com/O/r/issues/new?title=x">', None),
        ('<a href="https://github.com/O/r/tree/main/results#faces-without-a-frame">', None),
    ],
)
def test_a_lost_link_is_seen(tmp_path, body, fault):
    (tmp_path / "page.html").write_text(body, encoding="utf-8")
    (tmp_path / "index.html").write_text("", encoding="utf-8")
    faults = lost_links(tmp_path, "https://github.com/O/r")
    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]


def test_no_page_loads_much_before_it_is_touched(pages, site, browser):
    """Bytes as they lie on the server; where it compresses them (GitHub Pages does) a page is a quarter of that."""
    names = sorted(path.name for path in pages.rglob("book/*.html"))
    base = site(pages)
    weighed = weigh.bytes_before_touch(browser, [f"{base}/book/{name}" for name in names])
    weights = dict(zip(names, weighed, strict=True))
    assert min(weights.values()) > 300_000  # or nothing was weighed
    assert {name: weight for name, weight in weights.items() if weight > 1_500_000} == {}
    assert sorted(weights.values())[-2] < 1_250_000, weights  # chapter 5 has 363 formulas, the next a hundred


@pytest.mark.parametrize("name", ["index", "lab", "04_sampling", "06_generation", "10_beyond"])
def test_a_page_with_the_lab_is_light_as_it_is_sent(pages, site, browser, name):
    """Its text compressed, as GitHub Pages sends it; images and fonts are compressed in themselves."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    loaded = {}
    page.on("response", lambda response: loaded.setdefault(response.url.partition("?")[0], response.body()))
    page.goto(f"{site(pages)}/book/{name}.html", wait_until="load")
    page.wait_for_timeout(500)
    sent = {
        url: len(body) if url.endswith((".png", ".webp", ".jpeg", ".woff2")) else len(gzip.compress(body))
        for url, body in loaded.items()
    }
    page.close()
    assert any(url.endswith("/lab.js") for url in sent)
    assert sum(sent.values()) < 300_000, sent


@pytest.mark.parametrize("name", ["index", "05_linear_proof", "10_beyond", "notation"])
def test_a_slow_phone_shows_a_page_within_two_seconds(pages, site, browser, name):
    """The heaviest pages, and the slowest; a processor four times slower, the best of a few tries on a busy machine."""
    seconds = weigh.painted(browser, f"{site(pages)}/book/{name}.html", tries=8, enough=2)
    assert 0 < seconds <= 2


def test_a_page_that_paints_late_is_told(tmp_path, site, browser):
    page = """<!doctype html><link rel="icon" href="data:,"><p>Words.</p><script>
    const start = performance.now();
    while (performance.now() - start < 700);
    document.write("<h1>The title comes late.</h1>");
    </script>"""
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert weigh.painted(browser, f"{site(tmp_path)}/page.html", tries=1) > 0.7
    address = f"{site(tmp_path)}/page.html"
    assert list(weigh.bytes_before_touch(browser, [address] * 2)) == [len(page.encode())] * 2  # nothing is kept


def test_a_wrong_address_at_any_depth_finds_the_book_again(pages, tmp_path, site, browser):
    """As GitHub Pages answers it: with 404.html, at the address that was asked for."""
    folder = tmp_path / "coldlab" / "book" / "deep"  # the book at OWNER.github.io/coldlab/
    folder.mkdir(parents=True)
    for path in pages.iterdir():
        if path.name != "book":
            (tmp_path / "coldlab" / path.name).symlink_to(path)
    (folder / "nosuch.html").symlink_to(pages / "404.html")
    (folder.parent / "index.html").symlink_to(pages / "book" / "index.html")
    base = site(tmp_path)
    assert inspect(browser, base, ["coldlab/book/deep/nosuch.html"], 380) == []
    page = browser.new_page()
    page.goto(f"{base}/coldlab/book/deep/nosuch.html")
    page.locator("article a", has_text="first page").click()
    assert page.url == f"{base}/coldlab/book/index.html"
    page.close()


def test_every_page_has_a_picture_for_previews_and_a_line_in_the_sitemap(pages):
    base = re.search(r"baseurl: (\S+)", (chapters.ROOT / "_config.yml").read_text(encoding="utf-8"))[1]
    names = sorted(path.name for path in pages.glob("book/*.html"))
    addresses = re.findall("<loc>(.*)</loc>", (pages / "sitemap.xml").read_text(encoding="utf-8"))
    assert addresses == [f"{base}book/{name}" for name in names]
    cards = set()
    for name in names:
        text = (pages / "book" / name).read_text(encoding="utf-8")
        cards.add(address := re.search('property="og:image" content="([^"]+)"', text)[1])
        with Image.open(pages / address.removeprefix(base)) as card:
            assert card.size == (1200, 630)
            assert len(set(card.resize((60, 30)).convert("L").get_flattened_data())) > 40, (
                name
            )  # words alone have fewer
        assert 10_000 < (pages / address.removeprefix(base)).stat().st_size < 150_000
    assert len(cards) == len(chapters.sources()) + 1


def test_every_icon_that_a_page_names_is_drawn(pages):
    """The icon fonts hold what is shown and no more."""
    folder = next((pages / "_static/vendor/fontawesome").iterdir())
    style = (folder / "css/all.min.css").read_text(encoding="utf-8")
    rules = re.findall(r'((?:\.fa-[\w-]+:{1,2}before,?)+)\{content:"\\([0-9a-f]+)"', style)
    drawn = {name: code for group, code in rules for name in re.findall(r"fa-[\w-]+", group)}
    fonts = [ttLib.TTFont(path).getBestCmap() for path in folder.glob("webfonts/*")]
    texts = [page.read_text(encoding="utf-8") for page in pages.rglob("book/*.html")]
    named = {
        name for text in texts for found in re.findall(r'<(?:i|span) class="(fa[^"]*)"', text) for name in found.split()
    }
    icons = named - {"fas", "fab", "far", "fa", "fa-solid", "fa-brands", "fa-regular", "fa-lg", "fa-fw"}
    assert {"fa-github", "fa-bars"} <= icons
    icons |= {"fa-sun", "fa-moon", "fa-circle-half-stroke"}  # the theme's script puts them on
    assert {name for name in icons if not any(int(drawn.get(name, "0"), 16) in font for font in fonts)} == set()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in (".css", ".woff2")) < 40_000


def test_every_letter_of_a_formula_is_drawn(pages):
    """KaTeX's fonts hold the letters of all formulas, each font as many of its own as it had, and little else."""
    before, after = chapters.ROOT / "book/static/katex/fonts", pages / "_static/katex/fonts"
    whole, cut = ({path.name: set(ttLib.TTFont(path).getBestCmap()) for path in at.glob("*")} for at in (before, after))
    assert len(whole) == len(cut) == 20
    written = set()
    for page in pages.rglob("book/*.html"):
        formulas = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select(".katex-html")
        written |= {ord(letter) for formula in formulas for letter in formula.get_text()}
    assert len(written) > 100
    for name, letters in whole.items():
        assert written & letters <= cut[name] <= letters, name
    sizes = [sum(path.stat().st_size for path in at.glob("*")) for at in (before, after)]
    assert sizes[1] < 0.6 * sizes[0]


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
    for page in pages.rglob("book/*.html"):
        text = page.read_text(encoding="utf-8")
        assert ('class="math' in text) == ("_static/katex/katex.min.css" in text) == ("<math" in text), page.name
        assert not re.search("<script[^>]*(mathjax|katex)", text, re.IGNORECASE), page.name


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="https://example.org/a.png" alt="a">', "asked another host"),
        ('<img src="missing.png" alt="a">', "404"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=">', "without alt"),
        ('<main><div style="width: 2000px">wide</div></main>', "px wide"),
        ("<script>undefined.x</script>", "undefined"),
        ('<span class="math">x</span>', "0 of 1 formulas"),
        ("<main><div class='math' style='display: flex'><p class='katex-display'>x</p></div></main>", "the middle"),
        (f"<main><article style='overflow: hidden'><pre>{'x' * 200}</pre></article></main>", "cut off without a cue"),
        (f"<main><article><pre style='overflow-x: auto'>{'x' * 200}</pre></article></main>", "cut off without a cue"),
        (f"<main><article><pre style='overflow-x: auto'>{'x' * 200}</pre></article></main>", "not by keys: pre"),
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
    assert fault in " ".join(inspect(browser, site(tmp_path), ["page.html"], 360))


def test_what_scrolls_and_shows_it_may_be_wide(tmp_path, site, browser):
    style = "overflow-x: auto; background-image: linear-gradient(to left, grey, transparent)"
    body = f"<main><article><pre tabindex='0' style='{style}'>{'x' * 200}</pre></article></main>"
    page = f'<!doctype html><link rel="icon" href="data:,"><body>{body}</body>'
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert inspect(browser, site(tmp_path), ["page.html"], 380) == []


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
