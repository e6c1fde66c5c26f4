"""Images inside a page's HTML, as data URIs: nothing is loaded, so a figure goes wherever its HTML goes.

The idea that holds this file together: what kind of picture it is decides which encodings lose nothing that an eye
sees; of those the smallest is taken.
"""

import base64
import html
import io

import numpy as np

WEBP = 16383  # the most pixels on a side that WebP has


def exact(pixels):
    """The data URI of a PNG of RGBA uint8 pixels (height, width, 4)."""
    from PIL import Image

    return _smallest((Image.fromarray(pixels), "png", {"optimize": True}))


def photographs(pixels):
    """The data URI of RGBA pixels: exact, as grey where they are, or for colour good WebP if it is smaller."""
    from PIL import Image

    if (pixels[..., :3] == pixels[..., :1]).all():
        return _smallest((Image.fromarray(np.ascontiguousarray(pixels[..., [0, 3]])), "png", {"optimize": True}))  # LA
    image = Image.fromarray(pixels)
    return _smallest((image, "png", {"optimize": True}), (image, "webp", {"quality": 90, "method": 4}))


def detailed(pixels):
    """The data URI of opaque RGBA pixels: exact, or good JPEG if it is smaller, which keeps the colour of every pixel.

    WebP has one colour for four pixels: where a restoration weaves lines of colour over a sky, it shows none.
    """
    from PIL import Image

    colours = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    good = {"quality": 90, "subsampling": 0}  # with optimize Pillow's buffer is too small for what is mostly noise
    return _smallest((colours, "png", {"optimize": True}), (colours, "jpeg", good))


def drawing(pixels, webp=True):
    """The data URI of RGBA pixels in at most 256 colours: a drawing loses nothing that is seen, and is small.

    webp: whether it may be (exact) WebP; up to the height that this has.
    """
    from PIL import Image

    image = Image.fromarray(pixels).quantize(256, method=Image.Quantize.FASTOCTREE)
    choices = [(image, "png", {})]
    if webp and max(image.size) <= WEBP:
        choices.append((image.convert("RGBA"), "webp", {"lossless": True, "method": 2}))
    return _smallest(*choices)


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
    source = f'<source media="(max-width: {narrow}px)" srcset="{drawing(small, webp=False)}">'
    style = f"width:100%;max-width:{large.shape[1] * 100 // dpi}px;height:auto"
    image = f'<img src="{drawing(large, webp=False)}" alt="{html.escape(alt)}" style="{style}">'
    return f"<picture>{source}{image}</picture>"


def _smallest(*choices):
    """Of (PIL image, format, options) the one with the fewest bytes, as a data URI; of equals the first."""
    files = []
    for image, kind, how in choices:
        image.save(buffer := io.BytesIO(), kind, **how)
        files.append((kind, buffer.getvalue()))
    kind, content = min(files, key=lambda file: len(file[1]))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
