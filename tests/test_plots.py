"""plots.py: every pixel arrives, every picture speaks, and both pages carry it."""

import base64
import io
import itertools
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from coldlab import data, embed, plots
from coldlab.errors import ColdlabError

WHITE, DARK = "#FFFFFF", "#14181E"  # the book's pages


def images(n=3, channels=1, height=6, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, height, width), generator=generator, dtype=torch.uint8)


def png(picture):
    """The figure's PNG as RGBA, and its metadata."""
    bundle, metadata = plots.Picture(picture.figure, picture.alt)._repr_mimebundle_()
    return np.asarray(Image.open(io.BytesIO(bundle["image/png"])).convert("RGBA")), metadata["image/png"]


def enlarged(image, dots):
    """(C, H, W) uint8 as (H * dots, W * dots, 3)."""
    image = image.expand(3, -1, -1).permute(1, 2, 0).numpy()
    return np.kron(image, np.ones((dots, dots, 1), dtype=np.uint8))


def luminance(colour):
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG 2's contrast ratio of two colours."""
    low, high = sorted(luminance(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b))
    return (high + 0.05) / (low + 0.05)


# --- colours


def test_colours_carry_on_both_pages():
    for colour in plots.COLOURS.values():
        assert contrast(colour, WHITE) >= 3
        assert contrast(colour, DARK) >= 3
    assert contrast(plots.TEXT, WHITE) >= 4.1
    assert contrast(plots.TEXT, DARK) >= 4.1


# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize("vision", VISION)
def test_colours_differ_for_every_eye(vision):
    """CIELAB distances; about 2 is just noticeable."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]

    def lab(colour):
        xyz = to_xyz @ np.clip(VISION[vision] @ luminance(colour), 0, 1) / [0.95047, 1, 1.08883]
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    pairs = itertools.combinations(plots.COLOURS.values(), 2)
    assert min(np.linalg.norm(lab(a) - lab(b)) for a, b in pairs) > 10


# --- Picture


def test_picture_speaks(tmp_path):
    picture = plots.Picture(plots.figure(2, 2)[0], "Three\n  random images.")
    bundle, metadata = picture._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/plain"] == "Figure: Three random images."
    assert metadata["image/png"]["alt"] == "Three random images."
    assert picture._repr_mimebundle_()[0]["image/png"] == bundle["image/png"]  # the same bytes each time
    picture.save(tmp_path / "a.png")
    saved = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))
    assert np.array_equal(saved, png(picture)[0])
    assert metadata["image/png"]["width"] == round(saved.shape[1] / 2)  # half size on the page: sharp on fine screens


def shown(picture):
    """(attributes of the outermost element, [(alt, RGB pixels), ...], the words) of a picture's HTML."""
    tree = ElementTree.fromstring(re.sub(r"(<img [^>]*)>", r"\1/>", picture._repr_mimebundle_()["text/html"]))
    files = [base64.b64decode(img.get("src").partition(";base64,")[2]) for img in tree.iter("img")]
    pixels = [np.asarray(Image.open(io.BytesIO(file)).convert("RGBA")) for file in files]
    return (
        tree.attrib,
        list(zip((img.get("alt") for img in tree.iter("img")), pixels, strict=True)),
        " ".join(tree.itertext()),
    )


PAGED = {
    "rows": lambda x, alt: plots.rows({"<b>": x[:2], "c": x}, alt, title="t & u"),
    "grid": lambda x, alt: plots.grid(x, alt, columns=2),
    "strip": lambda x, alt: plots.strip(x, ["a", "$A_{20}$", "c"], alt),
}


@pytest.mark.parametrize("kind", PAGED)
@pytest.mark.parametrize("channels", [1, 3])
def test_pages_show_every_pixel_and_say_what_it_is(kind, channels):
    x = images(channels=channels)
    picture = PAGED[kind](x, 'Some "images" & more.')
    assert picture._repr_mimebundle_()["text/plain"] == 'Figure: Some "images" & more.'
    attributes, found, words = shown(picture)
    assert (attributes["role"], attributes["aria-label"]) == ("img", 'Some "images" & more.')
    rows = {"rows": [x[:2], x], "grid": [x[:2], x[2:]], "strip": [x[:1], x[1:2], x[2:]]}[kind]
    assert len(found) == len(rows)
    for (alt, pixels), row in zip(found, rows, strict=True):
        assert alt
        for i, image in enumerate(row):
            left = i * (5 + embed.GAP)
            assert np.array_equal(pixels[:, left : left + 5, :3], enlarged(image, 1))
    assert kind != "rows" or {"t", "&", "u", "<b>", "c"} <= set(words.split())
    assert kind != "strip" or "<sub>20</sub>" in picture.html


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_no_picture_without_alt(alt):
    for make in (
        lambda: plots.rows({"a": images()}, alt=alt),
        lambda: plots.strip(images(), "abc", alt=alt),
        lambda: plots.curves({"a": ([1, 2], [3, 4])}, alt, "x", "y"),
        lambda: plots.Picture(plots.figure(2, 2)[0], alt),
    ):
        with pytest.raises(ColdlabError, match=r"alt is .*; say in a sentence what the picture shows"):
            make()


def test_own_figures_get_the_house_style():
    fig, axes = plots.figure(6, 3, 1, 2)
    axes[0].plot([1, 2], [1, 2], label="a line")
    axes[0].legend()
    axes[0].set_title("a title")
    axes[0].text(1, 1.5, "in red", color="red")
    fig.colorbar(axes[1].imshow([[0, 1]]))
    fig.suptitle("over both")
    pixels, _ = png(plots.Picture(fig, "Two plots."))
    texts = {text.get_text(): text.get_color() for text in fig.findobj(Text) if text.get_text()}
    assert texts.pop("in red") == "red"
    assert {"a line", "a title", "over both"} <= set(texts)
    assert set(texts.values()) == {plots.TEXT}
    assert not axes[0].get_legend().get_frame_on()  # no white box
    assert pixels.shape[:2] == (600, 1200)
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all()  # no background
    opaque = pixels[pixels[..., 3] == 255][:, :3]
    assert opaque.max(1).min() > 60  # nothing is black: the image's darkest colour has blue 84


def test_figure_shapes():
    assert plots.figure(2, 2)[1].get_xlim() == (0, 1)
    assert plots.figure(2, 2, 2, 3)[1].shape == (2, 3)


# --- rows and strip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [0.5, 2])
def test_rows_keep_every_pixel(channels, scale):
    first, second = images(3, channels), images(2, channels, seed=1)
    pixels, _ = png(plots.rows({"one": first, "another": data.to_float(second)}, "Two rows.", "T", scale=scale))
    dots = int(2 * scale)
    height, width, gap = 6 * dots, 5 * dots, 8
    assert np.array_equal(pixels[-height:, -2 * width - gap : -width - gap, :3], enlarged(second[1], dots))
    assert np.array_equal(pixels[-2 * height - gap : -height - gap, -width:, :3], enlarged(first[2], dots))
    assert not pixels[-height:, -width:, 3].any()  # the second row has two images
    assert not pixels[-height - gap : -height, -width:, 3].any()
    left = pixels[:, : -3 * width - 3 * gap]
    assert left[-height:, :, 3].any()  # a label beside each row
    assert left[-2 * height - gap : -height - gap, :, 3].any()


def test_rows_keep_to_the_page():
    digits = data.load("digits", "test")[0]
    for n, height in ((1, 112), (8, 64), (16, 32)):
        pixels, shown = png(plots.rows({"Algorithm 2": digits[:n]}, "Digits."))
        assert shown["width"] <= plots.PAGE + 1
        assert pixels.shape[0] >= 2 * height - 32
    assert png(plots.rows({"big": images(1, 1, 300, 300)}, "An image."))[0].shape[0] == 600


def test_rows_without_labels_have_no_margin():
    assert png(plots.rows({"": images(2)}, "Two images.", scale=1))[0].shape == (12, 28, 4)


def test_grid_keeps_every_pixel_in_reading_order():
    x = torch.randint(0, 256, (5, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixels, _ = png(plots.grid(x, "Five images.", columns=3, scale=0.5))
    assert pixels.shape[:2] == (2 * 4 + 8, 3 * 4 + 2 * 8)
    for k in range(5):
        top, left = k // 3 * 12, k % 3 * 12
        assert (pixels[top : top + 4, left : left + 4, 0] == x[k, 0].numpy()).all()
    assert (pixels[12:, 24:, 3] == 0).all()  # the sixth place stays empty
    with pytest.raises(ColdlabError, match="columns"):
        plots.grid(x, "five", columns=0)


def test_strip_keeps_every_pixel_and_centres_labels():
    batch = images(3)
    picture = plots.strip(batch, ["t = 0", "a long label", 2], "Three images.", scale=3)
    pixels, _ = png(picture)
    solid = (pixels[:36, :, 3] == 255).all(0)  # columns of images
    starts = np.flatnonzero(np.diff(solid.astype(int), prepend=0) == 1)
    assert len(starts) == 3
    assert solid.sum() == 3 * 30
    for image, start in zip(batch, starts, strict=True):
        assert np.array_equal(pixels[:36, start : start + 30, :3], enlarged(image, 6))
    assert picture.html.count("flex:0 1 15px") == 3  # on a page, too, an image is not as wide as its label
    texts = {text.get_text(): text for text in picture.figure.texts}
    assert list(texts) == ["t = 0", "a long label", "2"]
    for text, start in zip(texts.values(), starts, strict=True):
        box = text.get_window_extent()
        assert (box.x0 + box.x1) / 2 == pytest.approx(start + 15, abs=1)
        assert 0 <= box.x0 < box.x1 <= pixels.shape[1]
        assert 0 <= box.y0 < box.y1 <= pixels.shape[0] - 36
    boxes = [text.get_window_extent() for text in texts.values()]
    assert all(a.x1 + 12 <= b.x0 for a, b in itertools.pairwise(boxes))  # labels do not touch


@pytest.mark.parametrize(("width", "rows"), [(900, 1), (320, 2)])
def test_strip_shows_every_image_in_one_width(browser, width, rows):
    """Whatever stands below it: a word, a long line, nothing."""
    labels = ["a", "a label that is longer than its image is wide", "", "t = 20"]
    strip = plots.strip(images(4, 1, 32, 32), labels, "Four images.", scale=3)
    page = browser.new_page(viewport={"width": width, "height": 700})
    page.set_content(strip.html)
    boxes = [image.bounding_box() for image in page.locator("img").all()]
    page.close()
    assert [(box["width"], box["height"]) for box in boxes] == [(96, 96)] * 4
    assert len({box["y"] for box in boxes}) == rows


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.rows({}, "x"), "there are no rows to draw"),
        (lambda: plots.rows({"a": images(), "b": images(height=7)}, "x"), r"sizes \[\(6, 5\), \(7, 5\)\]; one picture"),
        (lambda: plots.rows({"a": images()[0]}, "x"), r"shape \(1, 6, 5\); a picture takes \(N, C, H, W\)"),
        (lambda: plots.rows({"a": images(channels=2)}, "x"), r"shape \(3, 2, 6, 5\); .* with C 1 or 3"),
        (lambda: plots.rows({"a": images()[:0]}, "x"), r"shape \(0, 1, 6, 5\)"),
        (lambda: plots.rows({"a": images().long()}, "x"), "not torch.int64"),
        (lambda: plots.rows({"a": images()}, "x", scale=1.3), r"scale is 1\.3; it is a positive multiple of 0\.5"),
        (lambda: plots.rows({"a": images()}, "x", scale=0), "scale is 0"),
        (lambda: plots.strip(images(), "ab", "x"), "3 images have 2 labels"),
        (lambda: plots.curves({}, "x", "x", "y"), "there are no lines to draw"),
        (
            lambda: plots.curves({"a": ([1, 2], [1])}, "x", "x", "y"),
            r"line 'a' has x of shape \(2,\) and y of shape \(1,\)",
        ),
        (lambda: plots.gif(images(), "x.gif", fps=0), r"fps is 0 and scale .*; fps lies in 0\.\.50"),
        (lambda: plots.gif(images(), "x.gif", scale=1.5), r"scale 1\.5; .* whole number from 1"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(ColdlabError, match=message):
        call()


# --- curves


def test_curves_draw_the_values():
    steps = torch.arange(1, 31)
    picture = plots.curves(
        {"direct": (steps, 1.0 / steps), "improved": ([1, 10, 20], torch.tensor([0.3, 0.2, 0.1], requires_grad=True))},
        alt="Two falling curves.", xlabel="steps", ylabel="RMSE", logy=True,
    )  # fmt: skip
    (ax,) = picture.figure.axes
    first, second = ax.get_lines()
    assert np.allclose(first.get_ydata(), 1 / np.arange(1, 31))
    assert first.get_marker() in ("", "None")
    assert second.get_xdata().tolist() == [1, 10, 20]
    assert second.get_marker() == "o"
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale(), ax.get_yscale()) == ("steps", "RMSE", "linear", "log")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["direct", "improved"]
    picture._repr_mimebundle_()
    legend, plot = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert legend.y0 >= plot.y1 - 1  # above the lines, not over them


def test_curves_on_a_phone_are_drawn_again_with_what_a_cell_added():
    """The same size of letters on half the width, the legend inside it; the wide figure stays as it was."""
    lines = {name: ([1, 2, 3], [1, 2, 3]) for name in ("one that has a long name", "another with a long name", "b")}
    picture, plain = (plots.curves(lines, "A <line>.", "t", "y") for _ in range(2))
    picture.figure.axes[0].axhspan(1.5, 2.5, color="red")
    found = {}
    for name, each in (("marked", picture), ("plain", plain)):
        page = each._repr_mimebundle_()["text/html"]
        assert f'media="(max-width: {plots.NARROW}px)"' in page
        assert 'alt="A &lt;line&gt;."' in page
        files = map(base64.b64decode, re.findall(r"data:image/(?:png|webp);base64,([\w+/=]+)", page))
        found[name] = [np.asarray(Image.open(io.BytesIO(file)).convert("RGBA")) for file in files]
        assert each.figure.get_size_inches().tolist() == [6.4, 3.6]
    small, large = found["marked"]
    assert (small.shape[1], large.shape[1]) == (680, 1280)
    for marked, without in zip(found["marked"], found["plain"], strict=True):
        red = (marked[..., 0] > 240) & (marked[..., 1:3] < 20).all(-1)
        assert red.mean() > 0.1
        assert without[:, -1, 3].max() == 0  # nothing reaches the edge and beyond


def test_curves_tell_many_lines_apart_without_colour():
    lines = (
        plots.curves({str(i): ([0, 1], [i, i]) for i in range(6)}, "Six lines.", "x", "y").figure.axes[0].get_lines()
    )
    assert len({line.get_color() for line in lines}) == 6
    assert len({str(line._dash_pattern) for line in lines}) == 6


def test_whole_numbers_have_no_halves_on_the_axis():
    whole, halves = (plots.curves({"a": (x, [1, 2, 3])}, "A line.", "t", "y") for x in ([1, 2, 3], [1, 2.5, 3]))
    assert all(float(tick).is_integer() for tick in whole.figure.axes[0].get_xticks())
    assert not all(float(tick).is_integer() for tick in halves.figure.axes[0].get_xticks())


def test_one_curve_needs_no_legend():
    picture = plots.curves({"loss": ([1, 2], [3, 4])}, "A line.", "step", "loss", logx=True)
    assert picture.figure.axes[0].get_legend() is None
    assert picture.figure.axes[0].get_xscale() == "log"


def test_a_long_row_is_cut_into_equal_parts_that_a_phone_puts_below_each_other():
    x = images(16, 3, 8, 8)
    _, found, _ = shown(plots.rows({"a": x, "b": x[:10]}, "x", scale=1))
    assert [alt for alt, _ in found] == ["a", "a", "b"]
    assert [pixels.shape[1] for _, pixels in found] == [8 * (8 + embed.GAP) - embed.GAP] * 2 + [98]
    assert np.array_equal(found[1][1][:, -8:, :3], enlarged(x[15], 1))


def test_a_title_that_is_longer_than_its_rows_is_shown_whole():
    picture = plots.rows({"a": images(1, 1, 8, 8)}, "x", "A title that goes on and on", scale=1)
    (title,) = (text for text in picture.figure.findobj(Text) if text.get_text().startswith("A title"))
    assert title.get_window_extent().x1 <= picture.figure.bbox.x1


# --- stored


@pytest.mark.parametrize(("side", "title"), [(5, None), (64, "A title")])
def test_rows_are_found_again_in_the_file_that_was_saved(side, title, tmp_path):
    given = {"é, one": images(3, 3, side, side + 2), "<two>": images(2, 1, side, side + 2)}
    drawn = plots.rows(given, "Rows.", title)
    drawn.save(tmp_path / "a.webp")
    again = plots.stored(tmp_path / "a.webp", "The same rows.")
    assert again.layout == drawn.layout
    assert again.alt == "The same rows."
    for (alt, pixels), (label, x) in zip(shown(again)[1], given.items(), strict=True):
        assert alt == label
        for j, image in enumerate(x):
            left = j * (side + 2 + embed.GAP)
            assert np.array_equal(pixels[:, left : left + side + 2, :3], enlarged(image, 1))


def test_a_file_that_does_not_say_what_is_in_it_is_refused(tmp_path):
    note = Image.Exif()
    note[270] = "OLYMPUS DIGITAL CAMERA"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp", exif=note)
    plots.Picture(plots.figure(2, 2)[0], "Nothing.").save(tmp_path / "b.webp")
    for name in ("a.webp", "b.webp"):
        with pytest.raises(ColdlabError, match="does not say which rows"):
            plots.stored(tmp_path / name, "Rows.")


# --- gif


def test_either_offers_two_drawings_and_says_one_alt():
    wide, narrow = (plots.Picture(plots.figure(width, 2)[0], "A <line>.") for width in (6, 3))
    page = plots.either(wide, narrow)._repr_mimebundle_()["text/html"]
    small, large = re.findall(r"data:image/(?:png|webp);base64,([\w+/=]+)", page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(source))).size for source in (large, small)]
    assert sizes == [(6 * plots.DPI, 2 * plots.DPI), (3 * plots.DPI, 2 * plots.DPI)]
    assert f'media="(max-width: {plots.NARROW}px)" srcset="data:' in page
    assert "max-width:600px;" in page
    assert re.findall(r'width="(\d+)" height="(\d+)"', page) == [("300", "200"), ("600", "200")]
    assert page.count("<img ") == 1
    assert 'alt="A &lt;line&gt;."' in page
    assert plots.either(wide, narrow).figure is wide.figure  # what is saved, and shown where HTML is not


def test_gif_keeps_grey_frames(tmp_path):
    frames = images(5, 1, 8, 8)
    plots.gif(data.to_float(frames), tmp_path / "a.gif", fps=10, scale=2)
    with Image.open(tmp_path / "a.gif") as movie:
        assert (movie.n_frames, movie.size, movie.info["loop"]) == (5, (16, 16), 0)
        for i, frame in enumerate(frames):
            movie.seek(i)
            assert np.array_equal(np.asarray(movie.convert("RGB")), enlarged(frame, 2))
            assert movie.info["duration"] == (1000 if i == 4 else 100)


def test_gif_keeps_colours_nearly(tmp_path):
    ramp = torch.linspace(-1, 1, 32)
    frames = torch.stack([torch.stack([ramp.expand(32, 32), ramp[:, None].expand(32, 32), 0 * ramp + k * ramp[:, None]])
                          for k in (0.2, 0.9)])  # fmt: skip
    plots.gif(frames, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as movie:
        assert movie.size == (192, 192)  # small images are enlarged
        for i in range(2):
            movie.seek(i)
            shown = np.asarray(movie.convert("RGB")).astype(int)[::6, ::6]
            assert np.abs(shown - data.to_uint8(frames[i]).permute(1, 2, 0).numpy()).mean() < 8


# --- imports


def test_imports_stay_light_and_pyplot_stays_out():
    """matplotlib comes with the first picture, its global state (pyplot) never."""
    code = """
import sys, torch
before = set(sys.modules)
from coldlab import data, metrics, plots, widgets
heavy = {"matplotlib", "torchvision", "sklearn", "PIL", "ipywidgets", "IPython"}
print(sorted(heavy & (set(sys.modules) - before)))
plots.rows({"a": torch.zeros(1, 1, 4, 4)}, "x")._repr_mimebundle_()
plots.curves({"a": ([0, 1], [0, 1])}, "x", "x", "y")._repr_mimebundle_()
print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, errors="replace")
    assert done.stdout.split("\n")[:2] == ["[]", "True False"]
