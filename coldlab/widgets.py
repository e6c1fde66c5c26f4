"""Figures that move under the reader's hand where no Python runs: a slider over precomputed frames.

The idea: all frames are stacked into one image, a window shows one of them, and the slider's own inline handler moves
the image behind the window. Nothing is loaded, there is no script and no id, so any number of sliders share a page, and
where a site strips styles and handlers (GitHub), the image is left: a film strip.
"""

import dataclasses
import html
import io
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import torch

from . import embed
from .embed import GAP
from .errors import ColdlabError
from .plots import Picture, check_alt, to_pixels

COLUMNS = 8  # images side by side in one frame; more continue below
POSITIONS = 41  # the most severities that `explore` draws on its own
PICTURE_DPI = 150  # dots per inch of a picture in a frame; the page shows 100


class Slider:
    """One self-contained piece of HTML; as the last expression of a notebook cell it shows itself.

    html: the HTML. alt: what is to be seen, also read by screen readers. strip: the film strip as RGBA uint8
    (positions * height, width, 4).
    """

    def __init__(self, html, alt, strip):
        self.html, self.alt, self.strip = html, alt, strip

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self.html, "text/plain": repr(self)}

    def __repr__(self):
        return f"Slider: {self.alt}"


def slider(frames, captions, alt, scale=3, start=0):
    """A slider that shows one frame at a time, with its caption.

    frames: one entry per position, images (N, C, H, W) or (C, H, W), floats in [-1, 1] or uint8, all of one shape; the
    N images of a frame stand side by side. captions: as many strings. scale: page pixels per image pixel, at most (a
    narrow page shows them smaller). start: the position that is shown first, also where no script runs; -1 is the last.
    Returns a Slider. Raises ColdlabError for no frames, unequal numbers or shapes, a scale of 0 or less, a start that
    is no position, or an empty alt.
    """
    frames = [frame[None] if frame.ndim == 3 else frame for frame in map(torch.as_tensor, frames)]
    captions, alt = [str(caption) for caption in captions], check_alt(alt)
    if not frames or len(frames) != len(captions):
        raise ColdlabError(f"{len(frames)} frames have {len(captions)} captions; give at least one frame, one each.")
    shapes = sorted({tuple(frame.shape) for frame in frames})
    if len(shapes) > 1:
        raise ColdlabError(f"frames have shapes {shapes}; all must be alike.")
    if not scale > 0:
        raise ColdlabError(f"scale is {scale}; it is a number above 0.")
    pictures = [_arrange(to_pixels(frame)) for frame in frames]
    (height, width), strip = pictures[0].shape[:2], np.concatenate(pictures)
    start = _position(start, len(captions))
    return Slider(_html(embed.photographs(strip), captions, alt, height, width, scale, start), alt, strip)


def knobs(frames, choices, alt, start=0):
    """Several sliders that choose one frame together, one for each of `choices`.

    frames: plots.Pictures of one size, one for each combination, the last choice running fastest. What a combination is
    must stand in the picture: where handlers are stripped, all of them are shown below each other. choices: {label:
    names}. start: the frame that is shown first, as in `slider`. Returns a Slider. Raises ColdlabError for no choices,
    unequal numbers or sizes, a start that is no frame, or an empty alt.
    """
    names, alt = [[str(name) for name in of] for of in choices.values()], check_alt(alt)
    positions = math.prod(map(len, names))
    if not names or not positions or len(frames) != positions:
        raise ColdlabError(f"{len(frames)} frames for {positions} combinations; give one picture for each.")
    if not all(isinstance(frame, Picture) for frame in frames):
        raise ColdlabError("a frame is no Picture; make it with coldlab.plots, with its combination written in it.")
    pictures = [_drawn(frame) for frame in frames]
    shapes = sorted({picture.shape[:2] for picture in pictures})
    if len(shapes) > 1:
        raise ColdlabError(f"pictures have sizes {shapes}; all must be alike.")
    (height, width), strip = shapes[0], np.concatenate(pictures)
    start = _position(start, positions)
    return Slider(_html_knobs(embed.drawing(strip), list(choices), names, alt, height, width, start), alt, strip)


def explore(D, images, z=None, severities=None, alt=None, scale=3, start=None):
    """A slider over the severity t of D(x0, t, z).

    D: a Degradation. images: (N, C, H, W), floats in [-1, 1] or uint8, of D's size. z: D's latent; None draws it once,
    the same on every run. severities: the t to show; None takes 0..T, or 41 of them evenly. start: the position
    that it opens on; None takes a quarter of the way. Returns a Slider.
    Raises ColdlabError as D and `slider` do.
    """
    from .data import to_float

    x0 = to_float(images) if images.dtype == torch.uint8 else images
    if severities is None:
        count = min(D.T + 1, POSITIONS)
        severities = [round(i * D.T / (count - 1)) for i in range(count)]
    if z is None and D.needs_z:
        z = D.draw(x0, generator=torch.Generator(x0.device).manual_seed(0))
    with torch.no_grad():
        frames = [D(x0, t, z) for t in severities]
    name = type(D).__name__.lower()
    alt = (
        alt
        or f"{len(x0)} images under {name}; the slider moves the severity t from {severities[0]} to {severities[-1]}."
    )
    captions = [f"t = {t} of {D.T}" for t in severities]
    start = len(severities) // 4 if start is None else start  # ruined, and still to be recognised
    return slider(frames, captions, alt, scale, start=start)


def live(D, images, R=None):
    """Controls for a live kernel: D's settings, the severity, your own picture and, with R, a sampler.

    D, images: as in `explore`. R: a restoration network; what a sampler makes of the degraded images is drawn below
    them then (R was trained for one D: with other settings it shows what a wrong D does). Returns an ipywidgets.VBox;
    nothing of it is stored with the notebook. Raises ColdlabError without ipywidgets.
    """
    try:
        import ipywidgets
    except ImportError:
        raise ColdlabError(
            "widgets.live needs ipywidgets (pip install ipywidgets); widgets.explore needs no kernel."
        ) from None
    from .data import to_float
    from .sampling import SAMPLERS

    shown = {"x0": to_float(images) if images.dtype == torch.uint8 else images}
    controls = {name: _control(ipywidgets, name, value) for name, value in _settings(D).items()}
    t = ipywidgets.IntSlider(D.T, 0, D.T, description="t")
    sampler = ipywidgets.Dropdown(options=["direct", *SAMPLERS], value="improved", description="sampler")
    upload = ipywidgets.FileUpload(accept="image/*", description="your picture")
    picture, message = ipywidgets.Image(format="png"), ipywidgets.HTML()

    def redraw(change=None):
        try:
            now = _with(D, {name: control.value for name, control in controls.items()})
            t.max = now.T
            rows = [_degraded(now, shown["x0"], t.value)]
            if R is not None and t.value > 0:
                rows.append(_restored(R, now, *rows[0], t.value, SAMPLERS.get(sampler.value)))
            pictures = [_arrange(to_pixels(x.float())) for x, *_ in rows]
            picture.value, message.value = _png(np.concatenate(pictures)), ""
        except ColdlabError as error:  # a setting that cannot be: the last picture stays
            message.value = html.escape(str(error))

    def take(change):
        for file in upload.value[:1]:
            shown["x0"] = _own(bytes(file["content"]), shown["x0"])
        redraw()

    for control in (*controls.values(), t, sampler):
        control.observe(redraw, "value")
    upload.observe(take, "value")
    redraw()
    return ipywidgets.VBox([*controls.values(), t, *([sampler] if R is not None else []), upload, picture, message])


def _position(start, n):
    """start as 0..n - 1, counted from the end where it is negative."""
    if isinstance(start, bool) or not isinstance(start, int) or not -n <= start < n:
        raise ColdlabError(f"start is {start!r}; it is one of the positions 0..{n - 1}, or -1 for the last.")
    return start % n


def _settings(D):
    """{name: value} of D's settings that are numbers or switches, its size left out."""
    known = [field.name for field in dataclasses.fields(D) if field.name != "size"]
    return {name: value for name in known if isinstance(value := getattr(D, name), (bool, int, float))}


def _control(ipywidgets, name, value):
    """The control of one setting: a switch, a slider of whole numbers (odd ones for a kernel), or one of any."""
    how = dict(description=name, continuous_update=False)
    if isinstance(value, bool):
        return ipywidgets.Checkbox(value, description=name)
    if isinstance(value, int):
        return ipywidgets.IntSlider(value, min=1, max=max(2 * value + 1, 10), step=2 if name == "kernel" else 1, **how)
    return ipywidgets.FloatSlider(value, min=value / 20, max=3 * value, step=value / 20, **how)


def _with(D, settings):
    """D with other settings."""
    size = {"size": D.size} if any(field.name == "size" for field in dataclasses.fields(D)) else {}
    kept = {field.name: getattr(D, field.name) for field in dataclasses.fields(D)}
    return type(D)(**(kept | size | settings))


def _degraded(D, x0, t):
    """(x_t, z), z from one seed."""
    z = D.draw(x0, torch.Generator(x0.device).manual_seed(0)) if D.needs_z else None
    return D(x0, t, z), z


def _restored(R, D, x, z, t, sampler):
    """(what is restored from x_t,): by the sampler, or by one call without one."""
    if sampler is None:
        return (R(x, t),)
    *_, (_, x, _) = sampler(R, D, x, z, range(t, -1, -1))
    return (x,)


def _own(content, like):
    """A picture that was uploaded, as a batch of one of the size and the channels of `like`."""
    from .data import read_image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(content)
        return read_image(path, like.shape[1], like.shape[-1])[0]


def _png(pixels, scale=4):
    """RGBA pixels as the bytes of a PNG, enlarged."""
    from PIL import Image

    buffer = io.BytesIO()
    large = np.ascontiguousarray(pixels.repeat(scale, 0).repeat(scale, 1))
    Image.fromarray(large).save(buffer, "png")
    return buffer.getvalue()


def _drawn(picture):
    """A Picture as RGBA uint8 (height, width, 4), with a transparent line below."""
    return np.pad(embed.rendered(picture.figure, PICTURE_DPI), ((0, GAP), (0, 0), (0, 0)))


def _arrange(images):
    """RGBA images (N, H, W, 4) side by side, COLUMNS in a line, with transparent gaps on all sides."""
    n, height, width, _ = images.shape
    columns = min(n, COLUMNS)
    cells = np.zeros((-(-n // columns) * columns, height + GAP, width + GAP, 4), dtype=np.uint8)
    half = GAP // 2
    cells[:n, half : half + height, half : half + width] = images
    lines = cells.reshape(-1, columns, *cells.shape[1:]).swapaxes(1, 2)
    return lines.reshape(-1, columns * (width + GAP), 4)


def _moved(position, n):
    """The style that puts one of n positions into the window; none for the first."""
    return f";transform:translateY({-100 * position / n:.6g}%)" if position else ""


def _html(uri, captions, alt, height, width, scale, start):
    n, room = len(captions), max(map(len, captions))
    move = (
        "const f=this.closest('figure'),c=JSON.parse(this.dataset.captions)[this.value];"
        f"f.querySelector('img').style.transform='translateY('+-100*this.value/{n}+'%)';"
        "f.querySelector('output').value=c;this.setAttribute('aria-valuetext',c)"
    )
    first, alt, moved = html.escape(captions[start]), html.escape(alt), _moved(start, n)
    # Inline styles only: a style element would act on the whole page. The text takes the page's colour; the slider's
    # blue is the one that browsers draw on a light track in light pages and on a dark track in dark ones.
    return f"""<figure style="margin:.5em 0;max-width:100%;width:{width * scale:g}px">
<div style="overflow:hidden;aspect-ratio:{width}/{height}">
<img class="dark-light" src="{uri}" alt="{alt}" width="{width}" height="{height * n}" \
style="display:block;width:100%;height:auto;max-width:none;margin:0;padding:0;border-radius:0;background:none;\
filter:none;image-rendering:pixelated{moved}">
</div>
<div style="display:flex;flex-wrap:wrap;align-items:center;gap:.2em .8em;margin-top:.4em;color:inherit">
<input type="range" min="0" max="{n - 1}" value="{start}" step="1" autocomplete="off" aria-label="{alt}" \
aria-valuetext="{first}" data-captions="{html.escape(json.dumps(captions))}" oninput="{html.escape(move)}" \
style="flex:1 1 10em;min-width:0;margin:0;height:28px;accent-color:#388DC4;cursor:pointer">
<output aria-live="off" style="min-width:min(100%,{room}ch);font-variant-numeric:tabular-nums">{first}</output>
</div>
</figure>"""


def _html_knobs(uri, labels, names, alt, height, width, start):
    n = math.prod(map(len, names))
    move = (
        "const f=this.closest('figure');let i=0;for(const k of f.querySelectorAll('input')){"
        "const c=JSON.parse(k.dataset.names);i=i*c.length+Number(k.value);"
        "k.nextElementSibling.value=c[k.value];k.setAttribute('aria-valuetext',c[k.value])}"
        f"f.querySelector('img').style.transform='translateY('+-100*i/{n}+'%)'"
    )
    alt, rows = html.escape(alt), []
    firsts = np.unravel_index(start, [len(of) for of in names])  # the last choice runs fastest
    for label, of, at in zip(labels, names, firsts, strict=True):
        label, first, room = html.escape(label), html.escape(of[at]), max(map(len, of))
        rows.append(
            f"""<div style="display:flex;flex-wrap:wrap;align-items:center;gap:.2em .8em;color:inherit">
<span style="min-width:{max(map(len, labels))}ch">{label}</span>
<input type="range" min="0" max="{len(of) - 1}" value="{at}" step="1" autocomplete="off" aria-label="{label}" \
aria-valuetext="{first}" data-names="{html.escape(json.dumps(of))}" oninput="{html.escape(move)}" \
style="flex:1 1 8em;min-width:0;margin:0;height:28px;accent-color:#388DC4;cursor:pointer">
<output aria-live="off" style="min-width:min(100%,{room}ch)">{first}</output>
</div>"""
        )
    # The controls stand above the picture: two of them under a tall one would leave a phone's screen.
    return f"""<figure style="margin:.5em 0;max-width:100%;width:{width * 100 / PICTURE_DPI:g}px">
{chr(10).join(rows)}
<div style="overflow:hidden;aspect-ratio:{width}/{height};margin-top:.4em">
<img class="dark-light" src="{uri}" alt="{alt}" width="{width}" height="{height * n}" \
style="display:block;width:100%;height:auto;max-width:none;margin:0;padding:0;border-radius:0;background:none;\
filter:none{_moved(start, n)}">
</div>
</figure>"""
