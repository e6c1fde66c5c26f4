"""How good R is: held-out images degraded, then restored directly and by every sampler.

The idea that holds this file together: the pictures that are shown and the numbers that are reported come from the same
function, so that neither can flatter the other.
"""

import functools
import inspect

import torch
from tqdm import tqdm

from . import data, metrics, sampling
from .degradations import EIGHT_BITS, FLOAT32, each
from .errors import ColdlabError
from .metrics import distances, pixels
from .training import seed_of
from .unet import device_of, told


def images_for(R, name, split="test", skip_unreadable=False):
    """uint8 images of a dataset as R was trained on them: its size, its zoom, and its number of channels."""
    return labelled_for(R, name, split, skip_unreadable)[0]


def labelled_for(R, name, split="test", skip_unreadable=False):
    """The same with their labels, (N,) or None."""
    images, labels = data.load(name, split, R.config.size, R.config.zoom, skip_unreadable)
    if images.shape[1] != R.config.channels:
        theirs, its = data.KINDS[images.shape[1]], data.KINDS[R.config.channels]
        found = f"{name} is {theirs} and this network was trained on {its} images"
        raise ColdlabError(f"{found}; name a network trained on such images with --pretrained.")
    return images, labels


@torch.no_grad()
def compare(R, D, x0, z=None, severities=None, rounded=False, samplers=None, tell=True, blind=True):
    """{row: images} of a batch x0 in [-1, 1]: degraded, direct, a row per sampler, last prediction, original.

    z: D's latent for x0, from `latents`. samplers: {name: sampler}, by default those of `sampling.COURSE`; their rows
    are named by `sampling.TITLES`. "last prediction" is R(x_1, 1) on Algorithm 2's way, which the paper's tables report
    for masks and super-resolution where Algorithm 2's end is meant. severities: as in `sampling.improved`. rounded: x_T
    as an 8-bit file holds it, and R and samplers told so; tell=False keeps it from them, who take it for an image.
    blind: where z can be read off x_T, R and the samplers do; blind=False gives them the true one.
    """
    severities = list(severities or range(D.T, -1, -1))
    R, x, z = begin(R, D, x0, z, severities[0], rounded, tell, blind)
    eps = EIGHT_BITS if rounded and tell else FLOAT32
    rows = {"degraded": x, "direct": R(x, severities[0])}
    for name, sampler in (sampling.samplers() if samplers is None else samplers).items():
        if sampling.TITLES.get(name, name) in (*rows, "last prediction", "original"):
            raise ColdlabError(f"a sampler called {name!r} would take that row's place; give it another name.")
        *_, (_, rows[sampling.TITLES.get(name, name)], last) = precise(sampler, eps)(R, D, x, z, severities)
        if name == "improved":
            rows["last prediction"] = last
    return rows | {"original": x0}


def precise(sampler, eps):
    """The sampler told how wrong the pixels of x_T may be, if that is something it asks (`eps`)."""
    return functools.partial(sampler, eps=eps) if "eps" in inspect.signature(sampler).parameters else sampler


def begin(R, D, x0, z, t, rounded=False, tell=True, blind=True):
    """(R, x_t, z) from which a sampler starts. rounded: x_t as an 8-bit file holds it, and R told so if tell.

    x_t is computed in float64 and rounded once, so that it does not depend on the batch that an image is in. The z that
    comes back is what a sampler may use: where D is `blind` the one that is read off x_t, unless blind=False.
    """
    wide = x0 if x0.device.type == "mps" else x0.double()  # Apple's GPUs have no float64
    x = D(wide, t, z).to(x0.dtype)
    x = data.eight_bits(x) if rounded else x
    if getattr(D, "blind", False):  # D may be anybody's
        z = D.infer(x, None, t) if blind else z
        R = told(R, z=z)
    return told(R, eps=EIGHT_BITS) if rounded and tell else R, x, z


def started(R, D, images, t, rounded=False):
    """(R, x_t, z) on R's device, from which a sampler starts on uint8 images (N, C, H, W): `begin` with `latents`."""
    device = device_of(R)
    z = each(lambda v: v.to(device), latents(D, images))
    return begin(R, D, data.to_float(images).to(device), z, t, rounded)


def latents(D, images, seed=0, first=0):
    """D's latent z for uint8 images (N, C, H, W), on the CPU: image i's is drawn from a generator of its own.

    So it depends neither on the batch nor on how many images there are: image i is image first + i of its set. Beside
    each image another of the set is shown to D.draw, which is what animorph morphs into.
    """
    if not D.needs_z:
        return None
    drawn = []
    for i in range(len(images)):
        generator = torch.Generator().manual_seed(seed_of(seed, first + i, "z"))
        other = torch.randint(1, max(2, len(images)), (1,), generator=generator).item()
        pair = images[[i, (i + other) % len(images)]] if len(images) > 1 else images
        drawn.append(each(lambda v: v[:1], D.draw(data.to_float(pair), generator)))
    return joined(drawn)


def joined(parts):
    """One z of several images from as many of one."""
    if isinstance(parts[0], tuple):
        return tuple(joined([part[k] for part in parts]) for k in range(len(parts[0])))
    return None if parts[0] is None else torch.cat(parts)


def sees_files(R):
    """Whether R was trained on 8-bit images only, so that it has to be tried on such (as the paper's masks are)."""
    return R.config.rounded == 1


def restored(R, D, images, batch=256, rounded=False, severities=None, samplers=None, seed=0, tell=True, blind=True):
    """{row: images in [0, 1]} as in `compare`, of uint8 images (N, C, H, W), `batch` at a time; z from seed."""
    device, z, done = device_of(R), latents(D, images, seed), {}
    for part in tqdm(torch.arange(len(images)).split(batch), "evaluate", leave=False, disable=None):
        x0, z_part = data.to_float(images[part]).to(device), each(lambda v, part=part: v[part].to(device), z)
        for row, x in compare(R, D, x0, z_part, severities, rounded, samplers, tell, blind).items():
            done.setdefault(row, []).append(data.to_unit(x.cpu()))
    return {row: torch.cat(parts) for row, parts in done.items()}


def shown(rows):
    """The rows of `restored` as pictures take them: in [-1, 1], without the last prediction."""
    return {row: x * 2 - 1 for row, x in rows.items() if row != "last prediction"}


def evaluate(R, D, images, batch=256):
    """{row: {"rmse", "psnr", "ssim"}} for the rows of `compare`, against the original uint8 images (N, C, H, W)."""
    return table(restored(R, D, images, batch))[0]


MEASURES = (metrics.rmse, metrics.psnr, metrics.ssim)


def table(rows, net=None, resamples=0, seed=0):
    """(values, intervals), each {row: {measure: number, or (low, high)}}, of the rows that `restored` gives.

    net: with it the Fréchet distance between each row's images and the originals is there too, under the name that the
    net gives it; the paper's FID is this distance, with Inception, of the same test images restored and original.
    resamples: draws of the bootstrap over images, whose intervals hold 95 %; 0 leaves them out. The Fréchet distance
    takes a tenth of the draws, being dearer, and none above 256 features. Images smaller than SSIM's window have none.
    """
    return compared(rows, net, resamples, seed)[:2]


def compared(rows, net=None, resamples=0, seed=0):
    """(values, intervals, differences): `table`, and how far every two rows lie apart.

    differences: {row: {later row: {measure: (low, high)}}}, the 95 % interval of the first minus the second, where each
    draw of the bootstrap takes the *same* images of both. What the two share cancels, so that an order can be certain
    although the rows' own intervals overlap. Arguments as in `table`.
    """
    truth, rows = rows["original"], {row: x for row, x in rows.items() if row != "original"}
    small = min(truth.shape[-2:]) < metrics.WINDOW
    measures = {m.__name__: m for m in MEASURES if not (small and m is metrics.ssim)}
    values = {row: {name: m(x, truth).item() for name, m in measures.items()} for row, x in rows.items()}
    draws = {row: {} for row in rows}
    if resamples:
        for row, x in rows.items():
            draws[row] = {name: pixels.draws(m, x, truth, resamples, seed) for name, m in measures.items()}
    intervals = {row: {name: pixels.middle(d) for name, d in draws[row].items()} for row in rows}
    name = None
    if net is not None:
        name, real = metrics.frechet_name(net), metrics.extract(net, truth)
        for row, x in rows.items():
            seen = metrics.extract(net, x)
            values[row][name] = metrics.frechet(seen, real).item()
            if resamples and net.dim <= 256:
                draws[row][name] = distances.frechet_draws(seen, real, max(2, resamples // 10), seed)
                low, high = distances.around(values[row][name], draws[row][name])
                intervals[row][name] = max(0.0, low), high
    return values, intervals, apart(values, draws, name)


def apart(values, draws, biased=None):
    """{row: {later row: {measure: (low, high)}}} of paired draws; those of the measure `biased` are moved to its value.

    PSNR is left out: it orders rows as RMSE does, and infinite ones have no difference.
    """
    found, rows = {}, list(draws)
    for k, one in enumerate(rows):
        for other in rows[k + 1 :]:
            there = found.setdefault(one, {}).setdefault(other, {})
            for name in (name for name in draws[one] if name != "psnr"):
                difference = draws[one][name] - draws[other][name]
                value = values[one][name] - values[other][name]
                there[name] = distances.around(value, difference) if name == biased else pixels.middle(difference)
    return found


def crowd(net, unit, real, count, reads=True, moments=None):
    """({measure: value}, features) of a crowd of images in [0, 1], as a classifier sees them beside real ones.

    real: the features of the real images, all of them for the Fréchet distance, the first `count` for precision and
    recall. reads: its classes are those of the images, so that they can be counted. moments: of real, if at hand.
    """
    report, seen = {}, metrics.extract(net, unit)
    if reads:
        p = metrics.predict(net, unit)
        histogram = metrics.class_histogram(p)
        report["recognised"] = metrics.recognised(p).item()
        report |= {"entropy": metrics.class_entropy(histogram).item(), "histogram": histogram.tolist()}
    precision, recall = metrics.precision_recall(seen, real[:count])
    moments = metrics.moments(real) if moments is None else moments
    report |= {"frechet": metrics.frechet(metrics.moments(seen), moments).item()}
    return report | {"precision": precision.item(), "recall": recall.item()}, seen


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
