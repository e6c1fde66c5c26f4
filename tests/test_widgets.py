"""widgets.py: what the slider shows is the frame, in a browser too, and what is left of it where sites strip it."""

import base64
import io
import json
import re
import shutil
import sys
from datetime import datetime
from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

import coldlab
from coldlab import data, degradations, embed, plots, widgets
from coldlab.degradations import Blur
from coldlab.errors import ColdlabError


def decoded(uri):
    """The kind and the pixels of a data URI."""
    kind, _, content = uri.removeprefix("data:image/").partition(";base64,")
    return kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def frames(positions=4, n=3, channels=1, height=7, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (positions, n, channels, height, width)
    return list(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8))


class Elements(HTMLParser):
    """All elements of a piece of HTML with their attributes; refuses what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def __getitem__(self, tag):
        (attributes,) = [attributes for name, attributes in self.found if name == tag]
        return attributes


def film(slider):
    """The image inside the HTML: its format and its RGBA pixels."""
    source = Elements(slider.html)["img"]["src"]
    kind, content = re.fullmatch(r"data:image/(\w+);base64,(.*)", source).groups()
    return kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA"))


def test_frames_are_stacked_into_one_exact_image():
    given = frames(channels=1)
    slider = widgets.slider(given, "abcd", "Random images.")
    kind, pixels = film(slider)
    assert kind in ("png", "webp")
    assert pixels.shape == (4 * (7 + 2), 3 * (5 + 2), 4)
    for i, frame in enumerate(given):
        for j, image in enumerate(frame):
            top, left = 9 * i + 1, 7 * j + 1
            assert (pixels[top : top + 7, left : left + 5, :3] == image[0, :, :, None].numpy()).all()
            assert (pixels[top : top + 7, left : left + 5, 3] == 255).all()
    assert (pixels[..., 3] == 255).sum() == 4 * 3 * 7 * 5  # everything else is transparent


def test_floats_and_single_images():
    given = frames(n=1)
    as_floats = widgets.slider([data.to_float(frame)[0] for frame in given], "abcd", "Random images.")
    assert np.array_equal(film(as_floats)[1], film(widgets.slider(given, "abcd", "x"))[1])


def test_many_images_continue_below():
    pixels = film(widgets.slider(frames(2, n=11), "ab", "x"))[1]
    assert pixels.shape == (2 * 2 * 9, 8 * 7, 4)
    assert (pixels[..., 3] == 255).sum() == 2 * 11 * 7 * 5


def test_colour_takes_the_smaller_file():
    ramp = torch.linspace(-1, 1, 96)
    smooth = torch.stack([ramp.expand(96, 96), ramp[:, None].expand(96, 96), (ramp * ramp[:, None])])
    photo = smooth + 0.2 * torch.randn(smooth.shape, generator=torch.Generator().manual_seed(0))
    slider = widgets.slider([photo, photo / 2], "ab", "x")
    kind, pixels = film(slider)
    assert kind == "webp"
    assert len(slider.html) < 2 * 96 * 96 * 3
    expected = data.to_uint8(photo).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(pixels[1:97, 1:97, :3] - expected).mean() < 16  # noise is what the format rounds; the image stays
    flat = [torch.full((3, 16, 16), v) * torch.tensor([1.0, 0.5, 0]).view(3, 1, 1) for v in (-0.5, 0.5)]
    _, pixels = film(widgets.slider(flat, "ab", "x"))
    assert pixels[1, 1].tolist() == [*data.to_uint8(flat[0])[:, 0, 0].tolist(), 255]  # exact is smaller here


def test_mimebundle_is_small_talk_and_html():
    slider = widgets.slider(frames(), "abcd", "Random\n images.")
    bundle = slider._repr_mimebundle_(include=None, exclude=None)
    assert bundle == {"text/html": slider.html, "text/plain": "Slider: Random images."}
    assert slider.html == widgets.slider(frames(), "abcd", "Random images.").html  # the same text on every run


def test_html_is_self_contained():
    html = widgets.slider(frames(), ["t = 0", '"quoted" & <b>', "it's", "…"], 'Say "x < y".').html
    elements = Elements(html)
    assert {tag for tag, _ in elements.found} == {"figure", "div", "img", "input", "output"}
    assert not any({"id", "href", "srcset"} & set(attributes) for _, attributes in elements.found)
    assert "http" not in html.replace(elements["img"]["src"], "")
    assert "url(" not in html
    assert not re.search(r"[;\"]color:(?!inherit)", html)  # the text takes the page's colour
    assert "\n\n" not in html  # a blank line would end an HTML block in Markdown
    slider = elements["input"]
    assert json.loads(slider["data-captions"]) == ["t = 0", '"quoted" & <b>', "it's", "…"]
    assert (slider["type"], slider["min"], slider["max"], slider["value"]) == ("range", "0", "3", "0")
    assert slider["aria-label"] == elements["img"]["alt"] == 'Say "x < y".'
    assert slider["aria-valuetext"] == "t = 0"


def test_stripped_of_style_and_handlers_the_film_strip_is_left():
    elements = Elements(re.sub(r' (style|oninput)="[^"]*"', "", widgets.slider(frames(), "abcd", "x").html))
    image = elements["img"]
    assert "style" not in image
    assert "oninput" not in elements["input"]
    assert (int(image["width"]), int(image["height"])) == (3 * 7, 4 * 9)  # all positions at native size


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: widgets.slider([], [], "x"), "0 frames have 0 captions; give at least one frame"),
        (lambda: widgets.slider(frames(), "abc", "x"), "4 frames have 3 captions"),
        (
            lambda: widgets.slider(frames()[:1] + frames(height=8)[:1], "ab", "x"),
            r"frames have shapes \[.*; all must be",
        ),
        (lambda: widgets.slider(frames(), "abcd", " "), "alt is ' '; say in a sentence"),
        (lambda: widgets.slider(frames(), "abcd", "x", scale=0), "scale is 0; it is a number above 0"),
        (lambda: widgets.slider(frames(channels=2), "abcd", "x"), "a picture takes"),
        (lambda: widgets.slider(frames(), "abcd", "x", start=4), r"start is 4; it is one of the positions 0\.\.3"),
        (lambda: widgets.slider(frames(), "abcd", "x", start=-5), "start is -5; it is one of"),
        (lambda: widgets.slider(frames(), "abcd", "x", start=1.0), "start is 1.0; it is one of"),
        (lambda: widgets.slider(frames(), "abcd", "x", start=True), "start is True; it is one of"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(ColdlabError, match=message):
        call()


@pytest.mark.parametrize(("start", "position"), [(0, 0), (2, 2), (-1, 3)])
def test_a_slider_may_open_anywhere(start, position):
    elements = Elements(widgets.slider(frames(), "abcd", "x", start=start).html)
    assert (elements["input"]["value"], elements["input"]["aria-valuetext"]) == (str(position), "abcd"[position])
    assert f">{'abcd'[position]}</output>" in widgets.slider(frames(), "abcd", "x", start=start).html
    moved = re.search(r"transform:translateY\((.*)%\)", elements["img"]["style"])
    assert (float(moved[1]) if moved else 0) == -25 * position


def test_a_start_leaves_the_film_strip_as_it_is():
    assert np.array_equal(film(widgets.slider(frames(), "abcd", "x", start=2))[1], film(slider_at_0())[1])
    assert slider_at_0().html == widgets.slider(frames(), "abcd", "x", start=0).html


def slider_at_0():
    return widgets.slider(frames(), "abcd", "x")


def test_knobs_may_open_anywhere():
    elements = Elements(widgets.knobs(pictures(), CHOICES, "x", start=4).html)
    ranges = [attributes for tag, attributes in elements.found if tag == "input"]
    assert [(knob["value"], knob["aria-valuetext"]) for knob in ranges] == [("1", "snow"), ("1", '"noisy" <b>')]
    assert "transform:translateY(-66.6667%)" in elements["img"]["style"]


# --- explore


class Fade(torch.nn.Module):
    """D(x, t, z) = (1 - t / T) x + (t / T) z."""

    def __init__(self, T, needs_z=False):
        super().__init__()
        self.T, self.needs_z, self.asked = T, needs_z, []

    def draw(self, x0, generator=None):
        return torch.rand(x0.shape, generator=generator) if self.needs_z else None

    def forward(self, x0, t, z=None):
        self.asked.append(t)
        return (1 - t / self.T) * x0 + (t / self.T) * (z if self.needs_z else 0)


def test_explore_shows_every_severity():
    D, x0 = Fade(20), frames(1)[0]
    slider = widgets.explore(D, x0)
    assert D.asked == list(range(21))
    pixels = film(slider)[1]
    for t in (0, 7, 20):
        expected = data.to_uint8((1 - t / 20) * data.to_float(x0)[1, 0]).numpy()
        assert np.array_equal(pixels[9 * t + 1 : 9 * t + 8, 8:13, 0], expected)
    assert json.loads(Elements(slider.html)["input"]["data-captions"])[7] == "t = 7 of 20"
    assert slider.alt == "3 images under fade; the slider moves the severity t from 0 to 20."
    assert Elements(slider.html)["input"]["value"] == "5"  # at 0 there would be nothing to see yet


def test_explore_thins_long_ones_and_takes_severities():
    D = Fade(300)
    widgets.explore(D, frames(1)[0])
    assert len(D.asked) == 41
    assert (D.asked[0], D.asked[-1]) == (0, 300)
    assert set(np.diff(D.asked)) <= {7, 8}
    D = Fade(300)
    slider = widgets.explore(D, frames(1)[0], severities=[0, 5, 300], alt="Three of them.")
    assert D.asked == [0, 5, 300]
    assert slider.alt == "Three of them."


def test_explore_draws_z_once_and_reproducibly():
    x0 = data.to_float(frames(1)[0])
    slider = widgets.explore(Fade(4, needs_z=True), x0)
    assert slider.html == widgets.explore(Fade(4, needs_z=True), x0).html
    z = torch.rand(x0.shape, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(film(slider)[1][4 * 9 + 1 : 5 * 9 - 1, 1:6, 0], data.to_uint8(z)[0, 0].numpy())
    own = widgets.explore(Fade(4, needs_z=True), x0, z=-torch.ones_like(x0))
    assert not film(own)[1][4 * 9 + 1 : 5 * 9 - 1, 1:6, 0].any()


def test_explore_takes_the_packages_degradations():
    x0, _ = data.load("digits", "test")
    D = degradations.make("blur", size=32)
    slider = widgets.explore(D, x0[:2])
    last = data.to_uint8(D(data.to_float(x0[:2]), D.T))
    assert np.array_equal(film(slider)[1][D.T * 34 + 1 : D.T * 34 + 33, 1:33, 0], last[0, 0].numpy())


# --- knobs


def pictures(n=6, width=1.0):
    """Pictures of one size, the i-th filled with a grey of its own."""
    found = []
    for i in range(n):
        fig, ax = plots.figure(width, 0.5)
        fig.set_layout_engine("none")
        ax.set_position((0, 0, 1, 1))
        ax.set_axis_off()
        ax.imshow(np.full((1, 1, 3), 30 * i + 40, dtype=np.uint8), aspect="auto")
        found.append(plots.Picture(fig, f"Grey {i}."))
    return found


CHOICES = {"D": ["blur", "snow"], "R": ["oracle", '"noisy" <b>', "random"]}


def test_the_last_choice_runs_fastest_in_the_film():
    widget = widgets.knobs(pictures(), CHOICES, "Six greys.")
    pixels = film(widget)[1]
    assert pixels.shape == (6 * (75 + 2), 150, 4)
    assert [int(pixels[77 * i + 37, 75, 0]) for i in range(6)] == [30 * i + 40 for i in range(6)]
    assert not pixels[75::77, :, 3].any()  # a transparent line under each
    elements = Elements(widget.html)
    assert {tag for tag, _ in elements.found} == {"figure", "div", "span", "img", "input", "output"}
    ranges = [attributes for tag, attributes in elements.found if tag == "input"]
    assert [(knob["aria-label"], knob["max"], knob["aria-valuetext"]) for knob in ranges] == [
        ("D", "1", "blur"),
        ("R", "2", "oracle"),
    ]
    assert [json.loads(knob["data-names"]) for knob in ranges] == list(CHOICES.values())
    assert "http" not in widget.html.replace(elements["img"]["src"], "")
    assert elements["img"]["alt"] == widget.alt == "Six greys."
    stripped = Elements(re.sub(r' (style|oninput)="[^"]*"', "", widget.html))["img"]
    assert (int(stripped["width"]), int(stripped["height"])) == (150, 6 * 77)


def test_drawings_are_small_and_the_same_in_either_format(monkeypatch):
    drawn = plots.curves({"a line": (range(9), range(9)), "another": (range(9), [4] * 9)}, "x", "x", "y")
    widget = widgets.knobs([drawn] * 6, CHOICES, "x")
    monkeypatch.setattr(embed, "WEBP", 10)  # as for a film that is too high for WebP
    large = widgets.knobs([drawn] * 6, CHOICES, "x")
    (kind, pixels), (other, same) = film(widget), film(large)
    assert (kind, other) == ("webp", "png")
    assert len(widget.html) < 0.7 * len(large.html)
    assert np.array_equal(pixels[..., 3], same[..., 3])
    assert np.array_equal(pixels[pixels[..., 3] > 0], same[same[..., 3] > 0])


@pytest.mark.parametrize("side", [160, 1000])
def test_a_photograph_in_detail_keeps_the_colour_of_every_pixel(side):
    """Lines of red and green, a pixel each, are still there; noise, which JPEG cannot make smaller, is no fault."""
    noise, red = np.random.default_rng(0), np.arange(side) % 2
    pixels = np.full((side, side, 4), 255, np.uint8)
    pixels[..., :3] = noise.integers(40, 50, (side, side, 3)) + 100 * np.stack([red, 1 - red, 0 * red], -1)
    (kind, content), (_, poor) = decoded(embed.detailed(pixels)), decoded(embed.photographs(pixels))
    assert kind == "jpeg"
    assert np.abs(content.astype(int) - pixels[..., :3]).mean() < 4
    assert np.abs(poor[..., :3].astype(int) - pixels[..., :3]).mean() > 20
    pixels[..., :3] = noise.integers(0, 256, (side, side, 3))
    assert decoded(embed.detailed(pixels))[1].shape == (side, side, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: widgets.knobs(pictures(5), CHOICES, "x"), "5 frames for 6 combinations"),
        (lambda: widgets.knobs([], {}, "x"), "0 frames for 1 combinations"),
        (lambda: widgets.knobs([], {"D": []}, "x"), "0 frames for 0 combinations"),
        (lambda: widgets.knobs(frames(6), CHOICES, "x"), "no Picture"),
        (lambda: widgets.knobs(pictures(5) + pictures(1, 2.0), CHOICES, "x"), "pictures have sizes"),
        (lambda: widgets.knobs(pictures(), CHOICES, ""), "alt is ''; say in a sentence"),
        (lambda: widgets.knobs(pictures(), CHOICES, "x", start=6), r"start is 6; it is one of the positions 0\.\.5"),
    ],
)
def test_wrong_input_to_knobs(call, message):
    with pytest.raises(ColdlabError, match=message):
        call()


# --- in a browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGE = """<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>:root{color-scheme:light dark} body{margin:16px;font:20px/30px sans-serif}
@media (prefers-color-scheme: dark){body{background:#14181e;color:#ced6dd}}</style>"""


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def opened(browser, *sliders, width=900, scheme="light"):
    """A page with the sliders; requests and complaints are collected on it."""
    page = browser.new_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith("data:") or page.complaints.append(request.url))
    page.set_content(PAGE + "".join(slider.html for slider in sliders))
    return page


def shown(page, index):
    """What the window of one slider shows, RGB."""
    picture = page.locator("figure > div:first-child").nth(index).screenshot()
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def expected(slider, position, positions, scale):
    """The frame as the page should show it on white."""
    pixels = np.split(film(slider)[1], positions)[position].astype(int)
    alpha = pixels[..., 3:] // 255
    return np.kron(pixels[..., :3] * alpha + 255 * (1 - alpha), np.ones((scale, scale, 1), dtype=int))


def test_arrow_keys_move_one_slider(browser):
    captions = ["t = 0", '"two" <b>&', "it's", "the last"]
    first = widgets.slider(frames(), captions, "First.", scale=6)
    second = widgets.slider(frames(seed=1), "abcd", "Second.", scale=6)
    page = opened(browser, first, second)
    ranges, outputs = page.get_by_role("slider"), page.locator("output")
    assert np.array_equal(shown(page, 0), expected(first, 0, 4, 6))
    ranges.nth(0).focus()
    for position, key in ((1, "ArrowRight"), (2, "ArrowRight"), (1, "ArrowLeft"), (3, "End"), (3, "ArrowRight")):
        page.keyboard.press(key)
        assert np.array_equal(shown(page, 0), expected(first, position, 4, 6))
        assert outputs.nth(0).inner_text() == captions[position]
        assert ranges.nth(0).get_attribute("aria-valuetext") == captions[position]
    assert np.array_equal(shown(page, 1), expected(second, 0, 4, 6))  # the other one has not moved
    assert outputs.nth(1).inner_text() == "a"
    ranges.nth(1).focus()
    page.keyboard.press("ArrowRight")
    assert np.array_equal(shown(page, 1), expected(second, 1, 4, 6))
    assert np.array_equal(shown(page, 0), expected(first, 3, 4, 6))
    assert page.get_by_role("slider", name="First.").count() == 1
    assert page.complaints == []
    page.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_the_start_is_shown_also_where_no_script_runs(browser, scripts):
    slider = widgets.slider(frames(), "abcd", "x", scale=6, start=2)
    page = browser.new_page(viewport={"width": 900, "height": 700}, java_script_enabled=scripts)
    page.set_content(PAGE + slider.html)
    assert np.array_equal(shown(page, 0), expected(slider, 2, 4, 6))
    assert page.locator("output").inner_text() == "c"
    if scripts:  # and the next key moves on from there
        page.get_by_role("slider").focus()
        page.keyboard.press("ArrowRight")
        assert np.array_equal(shown(page, 0), expected(slider, 3, 4, 6))
    page.close()


def test_two_knobs_choose_one_frame_together(browser):
    page = opened(browser, widgets.knobs(pictures(), CHOICES, "x"), widgets.knobs(pictures(), CHOICES, "y"))
    windows, ranges, outputs = (
        page.locator("figure > div:last-child"),
        page.get_by_role("slider"),
        page.locator("output"),
    )

    def grey(index):
        pixels = np.asarray(Image.open(io.BytesIO(windows.nth(index).screenshot())).convert("RGB"))
        return int(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, 0])

    assert grey(0) == 40
    for knob, key, shown in ((1, "ArrowRight", 70), (0, "ArrowRight", 160), (1, "End", 190), (0, "Home", 100)):
        ranges.nth(knob).focus()
        page.keyboard.press(key)
        assert grey(0) == shown
    assert outputs.nth(0).inner_text() == ranges.nth(0).get_attribute("aria-valuetext") == "blur"
    assert outputs.nth(1).inner_text() == ranges.nth(1).get_attribute("aria-valuetext") == "random"
    assert grey(1) == 40  # the other widget has not moved
    assert page.complaints == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(browser, scheme):
    wide = widgets.slider(
        frames(n=8, height=32, width=32), ["a caption that is longer than a phone is wide " * 2] * 4, "x"
    )
    page = opened(browser, wide, widgets.slider(frames(), "abcd", "y"), width=360, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    window = page.locator("figure > div:first-child").nth(0).bounding_box()
    assert window["width"] == 328
    assert window["height"] == pytest.approx(328 * 34 / (8 * 34), abs=1)
    assert page.locator("input").nth(0).bounding_box()["height"] >= 24  # room for a thumb
    page.locator("input").nth(0).focus()
    page.keyboard.press("End")
    moved = page.locator("img").nth(0).bounding_box()
    assert moved["y"] + moved["height"] == pytest.approx(window["y"] + window["height"], abs=0.6)
    colours = page.evaluate("[document.body, document.querySelector('output')].map(e => getComputedStyle(e).color)")
    assert colours[0] == colours[1] == {"light": "rgb(0, 0, 0)", "dark": "rgb(206, 214, 221)"}[scheme]
    page.close()


# ---- under a live kernel ------------------------------------------------------------------------------------------


def controls(box):
    return {child.description: child for child in box.children if getattr(child, "description", "")}


def test_live_controls_change_the_degradation_and_the_picture():
    R = coldlab.load_pretrained("digits-blur")
    box = widgets.live(R.D, data.load("digits", "test")[0][:3], R)
    found, picture = controls(box), box.children[-2]
    assert {"T", "kernel", "std", "discrete", "t", "sampler", "your picture"} <= set(found)
    seen = {picture.value}
    for name, value in (
        ("t", 5),
        ("std", 2.1),
        ("kernel", 7),
        ("sampler", "averaged"),
        ("sampler", "direct"),
        ("T", 4),
    ):
        found[name].value = value
        assert picture.value not in seen, name
        seen.add(picture.value)
    assert found["t"].value == 4  # never beyond T


def test_live_takes_the_readers_picture_and_answers_what_cannot_be(tmp_path):
    box = widgets.live(Blur(32), data.load("digits", "test")[0][:3])
    found, picture, message = controls(box), box.children[-2], box.children[-1]
    before, file = picture.value, tmp_path / "mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)).save(file)
    upload = {"name": "mine.png", "type": "image/png", "size": 1, "content": file.read_bytes()}
    found["your picture"].value = ({**upload, "last_modified": datetime.now()},)
    assert picture.value != before
    found["kernel"].max = 101
    shown, found["kernel"].step = picture.value, 1
    found["kernel"].value = 10
    assert "needs an odd kernel" in message.value
    assert picture.value == shown
    found["kernel"].value = 11
    assert message.value == ""


def test_live_without_ipywidgets_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ColdlabError, match="pip install ipywidgets"):
        widgets.live(Blur(32), data.load("digits", "test")[0][:3])


@pytest.mark.slow
def test_live_runs_in_a_kernel_and_stores_no_widget_state():
    """In a notebook, executed as the chapters are: the control moves the picture, and no state is left behind."""
    code = """
from coldlab import data, widgets
from coldlab.degradations import Blur
box = widgets.live(Blur(32), data.load("digits", "test")[0][:2])
before = bytes(box.children[-2].value)
[slider] = [child for child in box.children if getattr(child, "description", "") == "t"]
slider.value = 3
assert bytes(box.children[-2].value) != before
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3", store_widget_state=False).execute()
    assert "widgets" not in notebook.metadata
