"""What a published book has beside its pages: a picture for link previews, a sitemap, and a page for wrong addresses.

All addresses begin with html.baseurl of _config.yml, which `python tools/stamp.py URL` writes. The picture of a chapter
is made of the chapter's own: the first rows of images, or the first photographs, above its title.
"""

import html
import re
from pathlib import Path
from urllib.parse import urlsplit

SIZE = (1200, 630)  # what link previews show uncut
MARGIN, GAP = 60, 10
BACK, WORDS, FAINT = "#10151f", "#f4f6fa", "#9fb3cc"
IMAGES = re.compile(r'<img[^>]*src="\.\./(_images/[^"]+\.(?:png|webp|jpe?g))"')
CHAPTER = re.compile(r"book/\d\d_\w+")
RELATIVE = re.compile(r'\b(href|src|action|data-content_root)="(?!https?:|//|/|#|data:|mailto:)(?:\./)?')
LOST = """<section><h1>There is no page here</h1>
<p>The address may have a slip in it, or the page has moved. The <a href="book/index.html">first page</a> leads to every
chapter; the search finds words.</p></section>"""


def card_name(pagename: str) -> str:
    return f"_static/cards/{Path(pagename).name if CHAPTER.fullmatch(pagename) else 'book'}.jpg"


def add_card(app, pagename, templatename, context, doctree) -> None:
    """Name the page's picture; its address is absolute, as previews ask."""
    if doctree is None or app.builder.name != "html":
        return
    tags = {
        'property="og:image"': app.config.html_baseurl + card_name(pagename),
        'property="og:image:width"': str(SIZE[0]),
        'property="og:image:height"': str(SIZE[1]),
        'property="og:image:alt"': "Images of this page and its title.",
        'name="twitter:card"': "summary_large_image",
    }
    lines = [f'<meta {key} content="{html.escape(value)}" />' for key, value in tags.items()]
    context["metatags"] = context.get("metatags", "") + "\n" + "\n".join(lines)


def first_group(images: list) -> list:
    """The first images of one size that stand together; rows are wide, photographs are not. None: []."""
    groups: list[list] = []
    for image in images:
        if groups and groups[-1][0].size == image.size:
            groups[-1].append(image)
        else:
            groups.append([image])
    fit = [group for group in groups if len(group) > 1 and group[0].width > group[0].height <= 240]
    return fit[0] if fit else []


def draw_card(title: str, images: list):
    """A picture of SIZE: up to three rows of images, or three side by side, above the title; pixels stay square."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    card = Image.new("RGB", SIZE, BACK)
    fonts = Path(get_data_path()) / "fonts" / "ttf"
    width, height, group = SIZE[0] - 2 * MARGIN, 340, first_group(images)
    if group:
        if len(group) > 3:  # from one end to the other
            group = [group[0], group[len(group) // 2], group[-1]]
        (w, h), below = group[0].size, group[0].width > 4 * group[0].height
        across, down = (1, len(group)) if below else (len(group), 1)
        scale = min((width - (across - 1) * GAP) / across / w, (height - (down - 1) * GAP) / down / h)
        scale = int(scale) if scale >= 2 else scale
        w, h = round(w * scale), round(h * scale)
        top = MARGIN + (height - down * (h + GAP) + GAP) // 2
        for place, image in enumerate(group):
            spot = MARGIN + place % across * (w + GAP), top + place // across * (h + GAP)
            resized = image.convert("RGBA").resize((w, h), Image.NEAREST if scale >= 2 else Image.LANCZOS)
            card.paste(resized, spot, resized)
    pen, size = ImageDraw.Draw(card), 64
    while pen.textlength(title, ImageFont.truetype(str(fonts / "DejaVuSans-Bold.ttf"), size)) > width:
        size -= 2
    baseline = SIZE[1] - MARGIN - 60
    pen.text((MARGIN, baseline), title, WORDS, ImageFont.truetype(str(fonts / "DejaVuSans-Bold.ttf"), size), anchor="ls")
    foot = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 30)
    pen.text((MARGIN, SIZE[1] - MARGIN), "coldlab · cold diffusion, step by step", FAINT, foot, anchor="ls")
    return card


def draw_cards(app, root: Path) -> None:
    from PIL import Image

    folder = root / "_static" / "cards"
    folder.mkdir(parents=True, exist_ok=True)
    pages = {name: app.env.titles[name].astext() for name in app.env.found_docs if CHAPTER.fullmatch(name)}
    for name, title in pages.items():
        found = IMAGES.findall((root / f"{name}.html").read_text(encoding="utf-8"))
        images = [Image.open(root / image) for image in dict.fromkeys(found)]
        draw_card(title, images).save(root / card_name(name), quality=85)
    first = [Image.open(Path(app.confdir) / "book" / "static" / f"landing-{kind}.webp") for kind in ("hot", "cold")]
    draw_card(app.config.html_title, first).save(root / card_name("book"), quality=85)


def add_lost_page(app):
    if app.builder.name == "html":
        yield "404", {"title": "There is no page here", "body": LOST}, "page.html"


def publish(app, exception) -> None:
    """Write pictures and sitemap, and give the page for wrong addresses absolute links: it is shown at any depth."""
    if exception or app.builder.name != "html":
        return
    root, base = Path(app.outdir), app.config.html_baseurl
    draw_cards(app, root)
    addresses = "".join(f"<url><loc>{html.escape(base + name)}.html</loc></url>\n" for name in sorted(app.env.found_docs))
    (root / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{addresses}</urlset>\n',
        encoding="utf-8",
    )
    lost = root / "404.html"
    prefix = urlsplit(base).path or "/"
    lost.write_text(RELATIVE.sub(rf'\1="{prefix}', lost.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app):
    app.connect("html-page-context", add_card)
    app.connect("html-collect-pages", add_lost_page)
    app.connect("build-finished", publish, priority=900)  # after what mends the pages
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
