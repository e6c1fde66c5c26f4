"""Light pages: nothing is loaded that a page does not show, and nothing that is shown looks different for it.

The theme brings a font of two thousand icons for the twenty that its pages show, and a script that draws them again;
KaTeX's fonts have all of mathematics; Pygments wraps every name and bracket of the code in the colour that it has
anyway, and every dot in another. What goes here was three quarters of a megabyte a page.
"""

import html
import re
from pathlib import Path

ICON_SCRIPT = re.compile(r'<script src="[^"]*fontawesome[^"]*"></script>')
LAZY = re.compile(r'<img(?![^>]*loading=)(?=[^>]*src="[^"]*_images/)')
# Names, punctuation and blanks: the style sheet gives them the colour of all code. Dots get it here.
PLAIN = re.compile(r'<span class="(?:n|p|w|o(?=">\.<))">([^<]*)</span>')
NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'  # HTML knows it; an ePub does not

SPAN = re.compile(r'<(/?)span( class="katex-html")?[^>]*>([^<]*)')
FACE = re.compile(r"@font-face\{[^}]*\}")
RULE = re.compile(r'((?:\.fa-[\w-]+:{1,2}before,?)+)\{content:"\\?([^"]*)"\}')
CODE = re.compile(r'content:\s*"\\(f[0-9a-f]{3})')
NAME = re.compile(r"\bfa-[a-z0-9-]+")


def lighten(page: str) -> str:
    """A page without a second way to draw icons, without colours that change nothing, its images loaded when they come near."""
    page = LAZY.sub('<img loading="lazy"', ICON_SCRIPT.sub("", page))
    return PLAIN.sub(r"\1", page).replace(NAMESPACE, "")


def cut_down(font: Path, characters: set[int]) -> None:
    """Leave these characters alone in a WOFF2 font."""
    from fontTools import subset, ttLib

    options = subset.Options(notdef_outline=True)
    with ttLib.TTFont(font, recalcTimestamp=False) as opened:
        chosen = subset.Subsetter(options)
        chosen.populate(unicodes=characters)
        chosen.subset(opened)
        opened.save(font)


def letters(page: str) -> set[str]:
    """The characters inside the formulas of a page, as KaTeX draws them."""
    found, depth = set(), 0
    for closing, formula, text in SPAN.findall(page):
        if formula or depth:
            depth += -1 if closing else 1
        if depth:
            found |= set(html.unescape(text))
    return found


def keep_shown_letters(pages: Path, texts: list[str]) -> None:
    """Cut KaTeX's fonts down to the characters that occur in a formula."""
    characters = {ord(letter) for text in texts for letter in letters(text)}
    for font in (pages / "_static" / "katex" / "fonts").glob("*.woff2"):
        cut_down(font, characters)


def keep_shown_icons(pages: Path) -> None:
    """Cut the icon fonts and their style sheet down to the icons that a page, a script or a style sheet names."""
    for style in (pages / "_static" / "vendor" / "fontawesome").glob("*/css/all.min.css"):
        elsewhere = [path for path in pages.rglob("*") if path.suffix in (".html", ".js", ".css")]
        texts = [path.read_text(encoding="utf-8") for path in elsewhere if "fontawesome" not in path.parts]
        names = {name for text in texts for name in NAME.findall(text)}
        characters = {int(code, 16) for text in texts for code in CODE.findall(text)}

        def shown(rule, names=names, characters=characters) -> str:
            kept = [part for part in rule[1].split(",") if part.partition(":")[0].removeprefix(".") in names]
            if kept:
                characters.add(int(rule[2], 16) if len(rule[2]) > 1 else ord(rule[2]))
            return ",".join(kept) + f'{{content:"{rule[0].split(chr(34))[1]}"}}' if kept else ""

        rules = RULE.sub(shown, style.read_text(encoding="utf-8"))
        # Faces by the names that older versions had, and for old browsers, go; a face that is left is WOFF2.
        rules = FACE.sub(lambda face: face[0] if r"Font Awesome\ 6" in face[0] else "", rules)
        style.write_text(re.sub(r',url\([^)]*\) format\("truetype"\)', "", rules), encoding="utf-8")
        for font in style.parents[1].glob("webfonts/*.ttf"):
            font.unlink()
            cut_down(font.with_suffix(".woff2"), characters)
        for script in style.parents[1].glob("js/all.min.js"):
            script.unlink()


def thin(app, exception) -> None:
    if exception or app.builder.name != "html":
        return
    texts = []
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        texts.append(lighten(text))
        if texts[-1] != text:
            page.write_text(texts[-1], encoding="utf-8")
    keep_shown_letters(Path(app.outdir), texts)
    keep_shown_icons(Path(app.outdir))


def setup(app):
    app.connect("build-finished", thin)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
