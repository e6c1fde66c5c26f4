"""Pictures for the book and the command line: rows of images, curves, film strips, animations.

The idea: a picture is drawn once and read everywhere, on a white page and on a near-black one, with eyes that tell red
from green and without eyes. So backgrounds are transparent, text is a grey that both pages carry, colours keep their
distance to both pages and to each other, image pixels stay whole squares, and no picture exists without its alt text.
"""

import html
import io
import textwrap
from itertools import cycle
from pathlib import Path

import numpy as np
import torch

from . import data, embed, storage
from .errors import ColdlabError

# Okabe and Ito's colours, moved to where each has a contrast of 3 and more to white and to the book's dark page.
COLOURS = {
    "blue": "#0A68AC",
    "orange": "#CC8300",
    "green": "#00966C",
    "vermillion": "#BE4600",
    "purple": "#C877A6",
    "sky": "#439BD4",
}
TEXT = "#7A7A7A"  # 4.3 to white, 4.1 to the dark page: no grey does better on both
DASHES = "-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1.5)), (0, (1, 3))  # told apart without colour
DPI = 200  # dots per inch in the file; a page shows 100 per inch, so that fine screens stay sharp
SPACE = 8  # transparent dots of a file between images
NARROW = 600  # a page up to so many pixels across is a phone's
PAGE = 720  # the page's width that `rows` and `strip` try to keep to, in its pixels


class Picture:
    """A matplotlib figure with its alt text; as the last expression of a notebook cell it shows itself.

    figure: matplotlib.figure.Figure. Text, axes and legends that were left black get the house style.
    alt: what the picture shows, for readers who do not see it. Raises ColdlabError where it is empty.
    html: the same for a page, or a function that makes it, where there is more to it than a figure: text in the page's
    own type, images that shrink with a phone. It has to say alt itself.
    layout: of `rows`, where a file's images lie, so that `stored` finds them again. `save` writes it into the file.
    """

    def __init__(self, figure, alt, html=None, layout=None):
        self.figure, self.alt, self.html, self.layout = figure, check_alt(alt), html, layout
        _restyle(figure)

    def save(self, path):
        """Write the picture as PNG (or exact WebP, SVG, PDF, by the path's suffix), whole or not at all."""
        buffer, kind = io.BytesIO(), Path(path).suffix[1:] or "png"
        exact = {"pil_kwargs": embed.LOSSLESS | embed.noted(self.layout)} if kind == "webp" else {}
        self.figure.savefig(buffer, dpi=DPI, format=kind, **exact)
        storage.write(path, buffer.getvalue())

    def _repr_mimebundle_(self, include=None, exclude=None):
        if self.html:
            return {"text/html": self.html() if callable(self.html) else self.html, "text/plain": repr(self)}
        buffer = io.BytesIO()
        self.figure.savefig(
            buffer, format="png", dpi=DPI, metadata={"Software": None}
        )  # the same bytes on every version
        width = round(self.figure.get_figwidth() * 100)  # the page's pixels: half of the file's
        bundle = {"image/png": buffer.getvalue(), "text/plain": repr(self)}
        return bundle, {"image/png": {"alt": self.alt, "width": width}}

    def __repr__(self):
        return f"Figure: {self.alt}"


def check_alt(alt):
    """The alt text on one line; raises ColdlabError where it is empty."""
    if not isinstance(alt, str) or not alt.strip():
        raise ColdlabError(f"alt is {alt!r}; say in a sentence what the picture shows, for readers who do not see it.")
    return " ".join(alt.split())


def figure(width, height, rows=1, cols=1):
    """A figure in house style, width x height in inches (100 pixels of the page each): (fig, axes).

    axes: one Axes, or an array of them (rows x cols, squeezed) as matplotlib's subplots gives. Wrap fig in `Picture`.
    """
    from cycler import cycler
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="none")
    if rows > 1:  # else one panel's label is read as the next one's title
        fig.get_layout_engine().set(h_pad=0.12)
    axes = fig.subplots(rows, cols)
    for ax in fig.axes:
        ax.set_prop_cycle(cycler(color=COLOURS.values()) + cycler(linestyle=DASHES))
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=9)
        ax.set_facecolor("none")
    _restyle(fig)
    return fig, axes


def rows(images, alt, title=None, scale=None):
    """One labelled row of images per entry, pixels as whole squares, no axes.

    images: {label: (N, C, H, W)}, floats in [-1, 1] or uint8, C 1 or 3, one H and W; N may differ between rows.
    scale: page pixels per image pixel, a multiple of 0.5; None takes the largest that keeps to the page.
    Returns a Picture. Raises ColdlabError for no images, other shapes, or an empty alt.
    """
    alt = check_alt(alt)
    if not images:
        raise ColdlabError("there are no rows to draw; give {label: images (N, C, H, W)}.")
    labels = [textwrap.fill(str(label), 16) for label in images]
    batches = [to_pixels(batch) for batch in images.values()]
    if len({batch.shape[1:3] for batch in batches}) > 1:
        raise ColdlabError(f"rows have images of sizes {[b.shape[1:3] for b in batches]}; one picture takes one size.")
    fig, measure = _blank()
    label_width = max(measure(label, 10)[0] for label in labels)
    left = label_width + 20 if label_width else 0
    wide, high = measure(title, 11) if title else (0, 0)
    top = high + 20 if title else 0
    side, most = batches[0].shape[2], max(len(batch) for batch in batches)
    dots = _dots(scale, side, lambda dots: left + most * (side * dots + SPACE))
    canvas = _mosaic(batches, dots, SPACE, SPACE)
    width, height = left + max(canvas.shape[1], wide), top + canvas.shape[0]
    _show(fig, canvas, left, top, width, height)
    row = batches[0].shape[1] * dots + SPACE
    for i, label in enumerate(labels):
        y = top + i * row + (row - SPACE) / 2
        fig.text((left - 16) / width, 1 - y / height, label, ha="right", va="center", fontsize=10, color=TEXT)
    if title:
        fig.text(left / width, 1, title, ha="left", va="top", fontsize=11, color=TEXT)
    shown = [embed.line(batch, label or alt, dots) for label, batch in zip(images, batches, strict=True)]
    if label_width:  # the label stands beside its row, on a phone above it
        shown = [f"<div>{html.escape(str(label))}</div>{row}" for label, row in zip(images, shown, strict=True)]
    style = "display:grid;gap:4px 12px;align-items:center;grid-template-columns:max-content minmax(0,1fr)"
    page = embed.figure(alt, "".join(shown), "picture-rows", style if label_width else "", title)
    counts = {str(label): len(batch) for label, batch in zip(images, batches, strict=True)}
    layout = dict(rows=counts, title=title, size=batches[0].shape[1:3], dots=dots, left=left, top=top)
    return Picture(fig, alt, page, layout)


def stored(path, alt):
    """The picture that `rows` drew and `save` wrote as WebP, as a Picture again, pixel for pixel.

    Raises ColdlabError where the file says nothing of its rows, or for an empty alt.
    """
    pixels, layout = embed.read(path)
    if layout is None:
        raise ColdlabError(f"{path} does not say which rows it holds; only what plots.rows drew can be shown again.")
    (height, width), dots, images = layout["size"], layout["dots"], {}
    for i, (label, n) in enumerate(layout["rows"].items()):
        top = layout["top"] + i * (height * dots + SPACE)
        lefts = [layout["left"] + j * (width * dots + SPACE) for j in range(n)]
        row = [pixels[top : top + height * dots : dots, x : x + width * dots : dots, :3] for x in lefts]
        images[label] = torch.from_numpy(np.stack(row)).permute(0, 3, 1, 2)
    return rows(images, alt, layout["title"], dots / 2)


def grid(images, alt, columns=10, scale=None):
    """Images side by side in rows of `columns`, without labels: a look at many samples.

    images: (N, C, H, W), floats in [-1, 1] or uint8. scale as in `rows`. Returns a Picture; raises as `rows` does.
    """
    if columns < 1:
        raise ColdlabError(f"columns is {columns}; a grid has 1 or more.")
    pixels, alt = to_pixels(images), check_alt(alt)
    batches = [pixels[k : k + columns] for k in range(0, len(pixels), columns)]
    fig, _ = _blank()
    dots = _dots(scale, pixels.shape[2], lambda dots: columns * (pixels.shape[2] * dots + SPACE))
    canvas = _mosaic(batches, dots, SPACE, SPACE)
    _show(fig, canvas, 0, 0, canvas.shape[1], canvas.shape[0])
    shown = "".join(embed.row(batch, alt, dots) for batch in batches)
    return Picture(fig, alt, embed.figure(alt, shown, "picture-grid"))


def strip(images, labels, alt, scale=None):
    """One trajectory from left to right, a label under each image.

    images: (N, C, H, W), floats in [-1, 1] or uint8. labels: N strings. scale as in `rows`.
    Returns a Picture. Raises ColdlabError for unequal numbers, other shapes, or an empty alt.
    """
    batch, labels, alt = to_pixels(images), [str(label) for label in labels], check_alt(alt)
    if len(batch) != len(labels):
        raise ColdlabError(f"{len(batch)} images have {len(labels)} labels; give one label per image.")
    fig, measure = _blank()
    sizes = [measure(label, 9) for label in labels]
    side, widest = batch.shape[2], max(w for w, _ in sizes)
    dots = _dots(scale, side, lambda dots: len(batch) * max(side * dots + 12, widest + 20))
    gap = max(12, widest - side * dots + 20)
    canvas = _mosaic([batch], dots, gap, 0)
    margin = max(0, widest - side * dots) // 2  # half of the widest label may hang over at each end
    width, height = canvas.shape[1] + 2 * margin, canvas.shape[0] + max(h for _, h in sizes) + 16
    _show(fig, canvas, margin, 0, width, height)
    for i, label in enumerate(labels):
        x = margin + i * (side * dots + gap) + side * dots / 2
        y = 1 - (canvas.shape[0] + 8) / height
        fig.text(x / width, y, label, ha="center", va="top", fontsize=9, color=TEXT)
    each = (embed.row(batch[i : i + 1], label or alt, dots) for i, label in enumerate(labels))
    cell = f'<div style="flex:0 1 {round(side * dots / 2)}px">'  # without it a cell is as wide as its label
    shown = (f"{cell}{image}<div>{embed.formula(label)}</div></div>" for image, label in zip(each, labels, strict=True))
    style = "display:flex;flex-wrap:wrap;gap:8px 6px;text-align:center"
    return Picture(fig, alt, embed.figure(alt, "".join(shown), "picture-strip", style))


def curves(lines, alt, xlabel, ylabel, logx=False, logy=False):
    """Lines in one pair of axes, told apart by colour and by dashes; few points are marked.

    lines: {label: (x, y)}, sequences, arrays or tensors of one length. logx, logy: logarithmic axes.
    Returns a Picture. Raises ColdlabError for no lines, x and y of different lengths, or an empty alt.
    """
    if not lines:
        raise ColdlabError("there are no lines to draw; give {label: (x, y)}.")
    fig, ax = figure(6.4, 3.6)
    for (label, xy), colour, dash in zip(lines.items(), cycle(COLOURS.values()), cycle(DASHES), strict=False):
        x, y = (torch.as_tensor(v).detach().cpu().numpy() for v in xy)
        if x.shape != y.shape or x.ndim != 1:
            raise ColdlabError(f"line {label!r} has x of shape {x.shape} and y of shape {y.shape}; they must be alike.")
        ax.plot(x, y, color=colour, linestyle=dash, marker="o" if len(x) <= 16 else "", markersize=4, label=str(label))
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    if not logx and all(float(v).is_integer() for x, _ in lines.values() for v in x):
        ax.xaxis.get_major_locator().set_params(integer=True)  # severities and steps have no halves
    ax.grid(axis="y", color=TEXT, alpha=0.25, linewidth=0.6)
    _legend_above(ax)

    def drawn(*size):  # when it is shown: until then a cell may add to the axes
        fig.set_size_inches(size)
        _legend_above(ax)
        return embed.rendered(fig, DPI)

    return Picture(fig, alt, lambda: embed.choice(drawn(3.4, 3.6), drawn(6.4, 3.6), alt, DPI, NARROW))


def either(wide, narrow):
    """One Picture of two drawings of the same thing: a page up to NARROW pixels across shows the second.

    wide, narrow: Pictures, each with an alt of its own. Where nothing chooses, as on GitHub, the wide one is shown.
    """
    small, large = (embed.rendered(p.figure, DPI) for p in (narrow, wide))
    return Picture(wide.figure, wide.alt, embed.choice(small, large, wide.alt, DPI, NARROW))


def gif(frames, path, fps=8, scale=None):
    """Write frames (N, C, H, W), floats in [-1, 1] or uint8, as an endless animated GIF; the last one stays a second.

    fps: frames per second, up to 50; GIF counts in hundredths of a second. scale: file pixels per image pixel, a whole
    number; None enlarges small images to about 192. Raises ColdlabError for other shapes, fps or scale.
    """
    from PIL import Image

    batch = to_pixels(frames)
    scale = max(1, round(192 / max(batch.shape[1:3]))) if scale is None else scale
    if not 0 < fps <= 50 or scale != int(scale) or scale < 1:
        raise ColdlabError(f"fps is {fps} and scale {scale}; fps lies in 0..50, scale is a whole number from 1.")
    batch = batch[..., :3].repeat(int(scale), axis=1).repeat(int(scale), axis=2)
    grey = (batch == batch[..., :1]).all()
    images = [Image.fromarray(image[..., 0] if grey else image) for image in batch]
    images = images if grey else [image.quantize(256, dither=Image.Dither.NONE) for image in images]
    durations = [round(100 / fps) * 10] * (len(images) - 1) + [1000]
    buffer = io.BytesIO()
    images[0].save(buffer, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    storage.write(path, buffer.getvalue())


def to_pixels(images):
    """Images as RGBA uint8 (N, H, W, 4)."""
    images = torch.as_tensor(images).detach().cpu()
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.numel() == 0:
        raise ColdlabError(f"images have shape {tuple(images.shape)}; a picture takes (N, C, H, W) with C 1 or 3.")
    images = images if images.dtype == torch.uint8 else data.to_uint8(images)
    images = torch.cat([images.expand(-1, 3, -1, -1), torch.full_like(images[:, :1], 255)], 1)
    return images.permute(0, 2, 3, 1).numpy()


def _legend_above(ax):
    """What the lines are, above them, where there are several: as many columns, up to three, as the figure holds."""
    for columns in (3, 2, 1) if len(ax.get_legend_handles_labels()[0]) > 1 else ():
        legend = ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, handlelength=2.6, fontsize=9.5)
        legend.set_in_layout(False)  # one that is too wide would leave no room for the axes
        ax.figure.draw_without_rendering()
        legend.set_in_layout(True)
        if legend.get_window_extent().x1 <= ax.figure.bbox.x1:
            break
    _restyle(ax.figure)


def _mosaic(batches, dots, gap_x, gap_y):
    """Rows of RGBA images in one RGBA array, each image pixel dots x dots, transparent between the images."""
    n, height, width = max(len(batch) for batch in batches), *(side * dots for side in batches[0].shape[1:3])
    canvas = np.zeros((len(batches) * (height + gap_y) - gap_y, n * (width + gap_x) - gap_x, 4), dtype=np.uint8)
    for i, batch in enumerate(batches):
        for j, image in enumerate(batch.repeat(dots, axis=1).repeat(dots, axis=2)):
            top, left = i * (height + gap_y), j * (width + gap_x)
            canvas[top : top + height, left : left + width] = image
    return canvas


def _dots(scale, side, total):
    """Dots of the file per image pixel: as asked, or the most for which `total(dots)` fits the page."""
    if scale is None:
        fitting = (dots for dots in range(2 * max(1, 112 // side), 1, -1) if total(dots) <= 2 * PAGE)
        return next(fitting, 1)
    if 2 * scale != int(2 * scale) or scale <= 0:
        raise ColdlabError(f"scale is {scale}; it is a positive multiple of 0.5, so that pixels stay whole squares.")
    return int(2 * scale)


def _blank():
    """An empty figure and a function that measures text in dots: (text, points) -> (width, height)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(dpi=DPI, facecolor="none")
    renderer = FigureCanvasAgg(fig).get_renderer()

    def measure(text, points):
        drawn = fig.text(0, 0, text, fontsize=points)
        box = drawn.get_window_extent(renderer)
        drawn.remove()
        return int(np.ceil(box.width)), int(np.ceil(box.height))

    return fig, measure


def _show(fig, canvas, left, top, width, height):
    """Size the figure to width x height dots and draw the canvas on whole dots, so that nothing is resampled."""
    fig.set_size_inches(width / DPI, height / DPI)
    bottom = height - top - canvas.shape[0]
    ax = fig.add_axes((left / width, bottom / height, canvas.shape[1] / width, canvas.shape[0] / height))
    ax.set_axis_off()
    ax.imshow(canvas, interpolation="nearest", aspect="auto")


def _restyle(fig):
    """Turn what matplotlib draws in black by default into grey, and legends' white boxes into nothing."""
    from matplotlib.colors import to_hex
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    for text in fig.findobj(Text):
        if to_hex(text.get_color()) == "#000000":
            text.set_color(TEXT)
    for legend in fig.findobj(Legend):
        legend.set_frame_on(False)
    for ax in fig.axes:
        ax.tick_params(color=TEXT, labelcolor=TEXT, which="both")
        for spine in ax.spines.values():
            spine.set_color(TEXT)
