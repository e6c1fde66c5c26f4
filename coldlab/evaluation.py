"""How good R is: held-out images degraded, then restored directly, by Algorithm 1 and by Algorithm 2.

The idea that holds this file together: the pictures that are shown and the numbers that are reported come from the same
function, so that neither can flatter the other.
"""

from functools import partial

import torch
from tqdm import tqdm

from . import data, metrics
from .errors import ColdlabError
from .sampling import improved, naive
from .training import EIGHT_BITS, eight_bits
from .unet import Preconditioned


def images_for(R, name, split="test"):
    """uint8 images of a dataset as R was trained on them: its size, its zoom, and its number of channels."""
    images, _ = data.load(name, split, R.config.size, R.config.zoom)
    if images.shape[1] != R.config.channels:
        theirs, its = data.KINDS[images.shape[1]], data.KINDS[R.config.channels]
        found = f"{name} is {theirs} and this network was trained on {its} images"
        raise ColdlabError(f"{found}; name a network trained on such images with --pretrained.")
    return images


ROWS = ("degraded", "direct", "Algorithm 1", "Algorithm 2", "last prediction", "original")


@torch.no_grad()
def compare(R, D, x0, severities=None, seed=0, rounded=False):
    """{row: images} for ROWS, of a batch x0 in [-1, 1]; z from seed.

    "last prediction" is R(x_1, 1) on Algorithm 2's way, which the paper's tables report for masks and super-resolution
    where Algorithm 2's end is meant. rounded: x_T as an 8-bit file holds it, and R told so.
    """
    severities = list(severities or range(D.T, -1, -1))
    R, x, z = begin(R, D, x0, severities[0], seed, rounded)
    *_, (_, first, _) = naive(R, D, x, z, severities)
    trajectory = improved(R, D, x, z, severities)
    _, second, direct = next(trajectory)  # its first guess is the direct restoration
    last = direct
    for _, second, last in trajectory:  # noqa: B007  (the last ones count)
        pass
    return dict(zip(ROWS, (x, direct, first, second, last, x0), strict=True))


def begin(R, D, x0, t, seed=0, rounded=False):
    """(R, x_t, z) from which a sampler starts; z from seed. rounded: x_t as an 8-bit file holds it, and R told so."""
    z = D.draw(x0, torch.Generator(x0.device).manual_seed(seed))
    x = D(x0, t, z)
    if rounded:
        x = eight_bits(x)
        R = partial(R, eps=EIGHT_BITS) if isinstance(R, Preconditioned) else R
    return R, x, z


def sees_files(R):
    """Whether R was trained on 8-bit images only, so that it has to be tried on such (as the paper's masks are)."""
    return R.config.rounded == 1


def restored(R, D, images, batch=256, rounded=False, severities=None):
    """{row: images in [0, 1]} for ROWS, of uint8 images (N, C, H, W); severities and rounded: see `compare`."""
    device, done = next(R.parameters()).device, {}
    for k, chunk in enumerate(tqdm(images.split(batch), "evaluate", leave=False)):
        for row, x in compare(R, D, data.to_float(chunk).to(device), severities, k, rounded).items():
            done.setdefault(row, []).append(data.to_unit(x.cpu()))
    return {row: torch.cat(parts) for row, parts in done.items()}


def evaluate(R, D, images, batch=256):
    """{row: {"rmse", "psnr", "ssim"}} for ROWS but the original, against uint8 images (N, C, H, W)."""
    return table(restored(R, D, images, batch))[0]


MEASURES = (metrics.rmse, metrics.psnr, metrics.ssim)


def table(rows, net=None, resamples=0, seed=0):
    """(values, intervals), each {row: {measure: number, or (low, high)}}, of the rows that `restored` gives.

    net: with it the Fréchet distance between each row's images and the originals is there too, under the name that the
    net gives it; the paper's FID is this distance, with Inception, of the same test images restored and original.
    resamples: draws of the bootstrap over images, whose intervals hold 95 %; 0 leaves them out. The Fréchet distance
    takes a tenth of the draws, being dearer, and none above 256 features.
    """
    truth, rows = rows["original"], {row: x for row, x in rows.items() if row != "original"}
    values = {row: {measure.__name__: measure(x, truth).item() for measure in MEASURES} for row, x in rows.items()}
    intervals = {row: {} for row in rows}
    if resamples:
        for row, x in rows.items():
            for measure in MEASURES:
                intervals[row][measure.__name__] = metrics.interval(measure, x, truth, 0.95, resamples, seed)
    if net is None:
        return values, intervals
    name, real = metrics.frechet_name(net), metrics.extract(net, truth)
    for row, x in rows.items():
        seen = metrics.extract(net, x)
        values[row][name] = metrics.frechet(seen, real).item()
        if resamples and net.dim <= 256:
            intervals[row][name] = metrics.frechet_interval(seen, real, 0.95, max(2, resamples // 10), seed)
    return values, intervals


def lines(values, intervals):
    """The lines of a table of what `table` gives, each value with its interval below it, if there are any."""
    forms = {"rmse": ".3f", "psnr": ".2f", "ssim": ".3f"}
    names = list(next(iter(values.values())))
    widths = [max(15, len(name) + 2) for name in names]
    yield f"{'':16s}" + "".join(
        f"{name.upper() if name in forms else name:>{w}s}" for name, w in zip(names, widths, strict=True)
    )
    for row in values:
        shown = [format(values[row][name], forms.get(name, ".2f")) for name in names]
        yield f"{row:16s}" + "".join(f"{cell:>{w}s}" for cell, w in zip(shown, widths, strict=True))
        spans = ["..".join(format(v, forms.get(n, ".2f")) for v in intervals[row].get(n, ())) for n in names]
        if any(spans):
            yield f"{'':16s}" + "".join(f"{cell:>{w}s}" for cell, w in zip(spans, widths, strict=True))
