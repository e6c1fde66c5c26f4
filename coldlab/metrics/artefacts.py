"""What an eye sees at once and an average error hides: a frame around the picture, stripes and grids across it.

The idea that holds this file together: an artefact has a place, in the picture or among its frequencies; so the error,
or the power, there is set against what it is elsewhere.
"""

import torch

from ..errors import ColdlabError
from .pixels import _chunked


def ring(x, y, border=5, inside=7):
    """How much worse x is along its border than beside it: the RMSE there over that of the next pixels; 1 is no frame.

    x, y: float (N, C, H, W) in [0, 1], restored and original. border, inside: widths in pixels of the frame and of the
    frame within it. Returns a float64 scalar, over all images. Raises ColdlabError as `rmse` does, and where no such
    frames fit into the images.
    """
    if x.ndim == 4 and min(x.shape[-2:]) < 2 * (border + inside):
        raise ColdlabError(f"frames of {border} and {inside} pixels do not fit into {x.shape[-2]} x {x.shape[-1]}.")
    height, width = x.shape[-2:]
    rows, columns = (torch.minimum(torch.arange(n), n - 1 - torch.arange(n)) for n in (height, width))
    depth = torch.minimum(rows[:, None], columns).to(x.device)  # of each pixel below the border

    def errors(a, b):
        squared = (a - b).square().mean(1)
        outer, inner = depth < border, (depth >= border) & (depth < border + inside)
        return torch.stack([squared[:, part].mean(1) for part in (outer, inner)], 1)

    outer, inner = _chunked(errors, x, y).mean(0)
    return (outer / inner).sqrt()


def excess(x, y, window=48):
    """How much more power x has than y at each frequency: (2, window // 2), along the rows and along the columns.

    The middle `window` x `window` pixels, each line less its mean and under a Hann window, then |FFT|^2, averaged over
    lines, channels and images; entry k - 1 is the ratio at k periods in `window` pixels. A grid of p pixels shows as a
    peak at window / p, ringing as one at low or middle frequencies. x, y: float (N, C, H, W) in [0, 1]. float64.
    Raises ColdlabError as `rmse` does, and for images smaller than the window.
    """
    if x.ndim == 4 and min(x.shape[-2:]) < window:
        raise ColdlabError(f"a window of {window} pixels does not fit into {x.shape[-2]} x {x.shape[-1]}.")
    top, left = (x.shape[-2] - window) // 2, (x.shape[-1] - window) // 2

    def power(images, along):
        lines = images[..., top : top + window, left : left + window]
        lines = lines.movedim(along, -1)
        lines = (lines - lines.mean(-1, keepdim=True)) * torch.hann_window(window, dtype=x.dtype, device=x.device)
        return torch.fft.rfft(lines)[..., 1:].abs().square().mean((1, 2))

    def powers(a, b):
        return torch.stack([torch.stack([power(v.to(torch.float64), along) for along in (3, 2)], 1) for v in (a, b)], 1)

    of_x, of_y = _chunked(powers, x, y).mean(0)
    return of_x / of_y


def spot(x, at, around=5):
    """How far one pixel of each image stands out: (N,), the largest over channels of |pixel - mean of those around it|.

    x: float (N, C, H, W) in [0, 1]. at: (row, column), such as where a hole closes last: a sampler may leave a dot
    there. around: side of the square about it that it is held against, odd. float64. What a picture has there by
    nature, the originals say. Raises ColdlabError where the square does not lie within the images.
    """
    reach = around // 2
    if x.ndim != 4 or not all(reach <= place < side - reach for place, side in zip(at, x.shape[-2:], strict=True)):
        raise ColdlabError(f"{around} pixels around {tuple(at)} do not lie within images {tuple(x.shape)}.")
    top, left = (place - reach for place in at)
    square = x[..., top : top + around, left : left + around].to(torch.float64)
    pixel = square[..., reach, reach]
    others = (square.sum((2, 3)) - pixel) / (around**2 - 1)
    return (pixel - others).abs().amax(1)
