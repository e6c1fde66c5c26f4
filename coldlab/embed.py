"""Images inside a page's HTML, as data URIs: nothing is loaded, so a figure goes wherever its HTML goes.

The idea that holds this file together: what kind of picture it is decides which encodings lose nothing that an eye
sees; of those the smallest is taken.
"""

import base64
import html
import io
import json
import re

import numpy as np

WEBP = 16383  # the most pixels on a side that WebP has
DESCRIPTION = 270  # Exif's ImageDescription
GAP = 2  # transparent image pixels between images, so that no neighbour shows at the edge of a slider's window
LARGE = 128  # an image of so many pixels a side is a photograph, whose single pixels no eye tells apart
FEW, LEAST = 10, 30  # more images than these are cut into parts, unless each has so many of the page's pixels
LOSSLESS = {"lossless": True, "quality": 80, "method": 4}


def exact(pixels):
    """The data URI of RGBA uint8 pixels (height, width, 4), each as it is: PNG, or exact WebP if that is smaller."""
    from PIL import Image

    return _smallest(*_exactly(Image.fromarray(pixels)))


def photographs(pixels):
    """The data URI of RGBA pixels: exact, as grey where they are, or for colour good WebP if it is smaller."""
    from PIL import Image

    if (pixels[..., :3] == pixels[..., :1]).all():
        return _smallest(*_exactly(Image.fromarray(np.ascontiguousarray(pixels[..., [0, 3]]))))  # LA
    image = Image.fromarray(pixels)
    return _smallest(*_exactly(image), (image, "webp", {"quality": 90, "method": 4}))


def detailed(pixels):
    """The data URI of opaque RGBA pixels: exact, or good JPEG if it is smaller, which keeps the colour of every pixel.

    WebP has one colour for four pixels: where a restoration weaves lines of colour over a sky, it shows none.
    """
    from PIL import Image

    colours = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    good = {"quality": 90, "subsampling": 0}  # with optimize Pillow's buffer is too small for what is mostly noise
    return _smallest(*_exactly(colours), (colours, "jpeg", good))


def drawing(pixels):
    """The data URI of RGBA pixels in at most 256 colours: a drawing loses nothing that is seen, and is small."""
    from PIL import Image

    return _smallest(*_exactly(Image.fromarray(pixels).quantize(256, method=Image.Quantize.FASTOCTREE)))


def rendered(figure, dpi):
    """A matplotlib figure as RGBA uint8 (height, width, 4)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=dpi)
    across = int(round(figure.get_figwidth() * dpi, 6))  # as matplotlib counts whole pixels
    return np.frombuffer(buffer.getvalue(), np.uint8).reshape(-1, across, 4)


def choice(small, large, alt, dpi, narrow):
    """HTML of two drawings, RGBA (height, width, 4), of one thing; 100 pixels of the page are dpi of theirs.

    A page up to `narrow` pixels across shows the small one; where nothing chooses, the large one is shown.
    """

    def size(pixels):  # so that the page keeps their place before they come
        height, width = (side * 100 // dpi for side in pixels.shape[:2])
        return f'width="{width}" height="{height}"'

    source = f'<source media="(max-width: {narrow}px)" srcset="{drawing(small)}" {size(small)}>'
    style = f"width:100%;max-width:{large.shape[1] * 100 // dpi}px;height:auto"
    image = f'<img src="{drawing(large)}" alt="{html.escape(alt)}" {size(large)} style="{style}">'
    return f"<picture>{source}{image}</picture>"


def line(batch, alt, dots):
    """Images (N, H, W, 4) side by side; many are cut into equal parts, which a phone puts below each other."""
    n = -(-len(batch) // -(-len(batch) // FEW))
    parts = [batch[k : k + n] for k in range(0, len(batch), n)]
    if len(parts) == 1:
        return row(batch, alt, dots)
    cells = (f'<span style="flex:{len(p)} 1 {LEAST * len(p)}px">{row(p, alt, 2 * dots)}</span>' for p in parts)
    return f'<span style="display:flex;flex-wrap:wrap;gap:{GAP}px">{"".join(cells)}</span>'


def row(batch, alt, dots):
    """Images (N, H, W, 4) side by side as one <img>, a pixel each in its file, enlarged by the page."""
    n, height, width = batch.shape[:3]
    canvas = np.zeros((height, n * (width + GAP) - GAP, 4), dtype=np.uint8)
    for i, image in enumerate(batch):
        canvas[:, i * (width + GAP) : i * (width + GAP) + width] = image
    across = round(canvas.shape[1] * dots / 2)
    style = f"width:100%;max-width:{across}px;height:auto;image-rendering:pixelated;display:block"
    size = f'width="{across}" height="{round(height * dots / 2)}"'
    source = detailed(canvas) if n == 1 and min(height, width) >= LARGE else exact(canvas)
    return f'<img src="{source}" alt="{html.escape(str(alt))}" {size} style="{style}">'


def figure(alt, inside, kind, style="", title=None):
    """HTML that a screen reader takes for one picture; what else is said of it is for eyes."""
    above = f"<div>{html.escape(title)}</div>" if title else ""
    head = f'<div class="{kind}" role="img" aria-label="{html.escape(alt)}">'
    return f'{head}{above}<div style="{style}">{inside}</div></div>'


def formula(label):
    """A label with the subscripts of $A_{20}$ and x_t as HTML."""
    text = html.escape(label).replace("$", "")
    return re.sub(r"_(?:\{(\w+)\}|(\w))", r"<sub>\1\2</sub>", text) if "$" in label else text


def noted(layout):
    """What PIL is told in order to save `layout`, plain dicts and lists, inside a file."""
    from PIL import Image

    exif = Image.Exif()
    exif[DESCRIPTION] = json.dumps(layout)
    return {"exif": exif}


def read(path):
    """The RGBA pixels of an image file, and the layout that `noted` put into it, None if there is none."""
    from PIL import Image

    with Image.open(path) as image:
        pixels, told = np.asarray(image.convert("RGBA")), image.getexif().get(DESCRIPTION, "")
    return pixels, json.loads(told) if told.startswith('{"rows":') else None  # a camera may have written something else


def _exactly(image):
    """The choices of `_smallest` that keep every pixel of a PIL image that is seen."""
    choices = [(image, "png", {"optimize": True})]
    if max(image.size) <= WEBP:
        choices.append((image.convert("RGB" if image.mode == "RGB" else "RGBA"), "webp", LOSSLESS))
    return choices


def _smallest(*choices):
    """Of (PIL image, format, options) the one with the fewest bytes, as a data URI; of equals the first."""
    files = []
    for image, kind, how in choices:
        image.save(buffer := io.BytesIO(), kind, **how)
        files.append((kind, buffer.getvalue()))
    kind, content = min(files, key=lambda file: len(file[1]))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
