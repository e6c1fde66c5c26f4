"""What the commands leave behind: pictures of restored and of generated images, film strips, GIFs.

The idea that holds this file together: a trajectory is a list of (severity, images), and every picture is made of some.
"""

import io
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from .. import data, evaluation, generation, storage
from ..degradations import each
from ..errors import ColdlabError
from ..unet import device_of
from . import outputs

SHOWN = 256  # the longer side of a film's frames, in pixels


def small(x):
    """Images (B, C, H, W) as a film shows them: at most 256 pixels on a side."""
    factor = max(x.shape[-2:]) / SHOWN
    return x if factor <= 1 else F.interpolate(x, [round(n / factor) for n in x.shape[-2:]], mode="area")


def tell_error(path, x0, rows):
    """Print how far images in [-1, 1] are from the original."""
    unit = {name: data.to_unit(x.cpu().double()) for name, x in (rows | {"original": x0}).items()}
    for name, found in evaluation.table(unit)[0].items():
        similar = f", SSIM {found['ssim']:.3f}" if "ssim" in found else ""  # smaller than its window there is none
        print(f"{path}, {name}: RMSE {found['rmse']:.4f}{similar}")


def write_restored(out, path, x, states, sampler):
    """Write the restored image x (1, C, H, W), and a strip and a film of the states (severity, small image)."""
    from PIL import Image

    from .. import plots

    with results(out):
        image = data.to_uint8(x[0]).cpu()
        image = image[0] if len(image) == 1 else image.permute(1, 2, 0)
        restored, trajectory, film = outputs.of_image(out, path)
        buffer = io.BytesIO()
        Image.fromarray(image.numpy()).save(buffer, "PNG")
        storage.write(restored, buffer.getvalue())
        shown = ten_of(states)
        strip = torch.cat([x for _, x in shown]).cpu()
        alt = f"{path.name} restored from severity {states[0][0]} to 0 by the {sampler} sampler."
        plots.strip(strip, [f"t = {t}" for t, _ in shown], alt).save(trajectory)
        plots.gif(torch.cat([x for _, x in states]).cpu(), film)
    print(f"{path} -> {out / path.stem}-restored.png, -trajectory.png, .gif")


@contextmanager
def results(out):
    """Make the folder `out` and, where it or a file in it cannot be written, say so in one sentence."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ColdlabError(f"{out} cannot be written ({error.strerror}); choose another --out.") from None


def ten_of(states):
    """At most ten states of a trajectory, evenly, the first and the last among them."""
    return [states[i] for i in sorted({round(k * (len(states) - 1) / 9) for k in range(10)})]


def write_comparison(R, D, images, severities, sampler, out):
    """Held-out uint8 images: degraded, restored directly and by every sampler; and the film strip of `sampler`."""
    from .. import plots

    rounded = evaluation.sees_files(R)
    rows = evaluation.shown(evaluation.restored(R, D, images, rounded=rounded, severities=severities))
    R, x, z = evaluation.started(R, D, images, severities[0], rounded)
    states = [(severities[0], x), *((r, x) for r, x, _ in sampler(R, D, x, z, severities))]
    write_samples(plots.rows(rows, f"Rows of images: {', '.join(rows)}."), states, out)


def write_generated(R, prior, drawn, severities, sampler, out):
    """New images, and the film strip of the first eight from x_T on; `drawn`: the arguments of `generation.starts`."""
    from .. import plots

    images = generation.generate(R, prior, **drawn, severities=severities, sampler=sampler)
    device = device_of(R)
    x, z = each(lambda v: v[:8].to(device), generation.starts(prior, **drawn))
    states = [(severities[0], x), *((r, x) for r, x, _ in generation.walk(R, prior, x, z, severities, sampler=sampler))]
    write_samples(plots.grid(images, f"{len(images)} generated images.", columns=8), states, out)


def write_samples(picture, states, out):
    from .. import plots

    film = {f"t = {t}": x.cpu() for t, x in ten_of(states)}
    samples, trajectory = outputs.of_samples(out)
    with results(out):
        picture.save(samples)
        plots.rows(film, "One row per severity, from degraded to restored.").save(trajectory)
    print(f"{out}/: samples.png, trajectory.png")
