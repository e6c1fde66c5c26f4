"""How good R is: held-out images degraded, then restored directly, by Algorithm 1 and by Algorithm 2.

The idea that holds this file together: the pictures that are shown and the numbers that are reported come from the same
function, so that neither can flatter the other.
"""

import torch
from tqdm import tqdm

from . import data, metrics
from .errors import ColdlabError
from .sampling import improved, naive


def images_for(R, name, split="test"):
    """uint8 images of a dataset as R was trained on them: its size, its zoom, and its number of channels."""
    images, _ = data.load(name, split, R.config.size, R.config.zoom)
    if images.shape[1] != R.config.channels:
        theirs, its = data.KINDS[images.shape[1]], data.KINDS[R.config.channels]
        found = f"{name} is {theirs} and this network was trained on {its} images"
        raise ColdlabError(f"{found}; name a network trained on such images with --pretrained.")
    return images


@torch.no_grad()
def compare(R, D, x0, severities=None, seed=0):
    """{"degraded", "direct", "Algorithm 1", "Algorithm 2", "original"} of a batch x0 in [-1, 1]; z from seed."""
    severities = list(severities or range(D.T, -1, -1))
    z = D.draw(x0, torch.Generator(x0.device).manual_seed(seed))
    x = D(x0, severities[0], z)
    *_, (_, first, _) = naive(R, D, x, z, severities)
    trajectory = improved(R, D, x, z, severities)
    _, second, direct = next(trajectory)  # its first guess is the direct restoration
    for _, second, _ in trajectory:  # noqa: B007  (the last one counts)
        pass
    return {
        "degraded": x,
        "direct": direct,
        "Algorithm 1": first,
        "Algorithm 2": second,
        "original": x0,
    }


def evaluate(R, D, images, batch=256):
    """{row: {"rmse", "psnr", "ssim"}} for degraded, direct, Algorithm 1 and 2, against uint8 images (N, C, H, W)."""
    device, done = next(R.parameters()).device, {}
    for k, chunk in enumerate(tqdm(images.split(batch), "evaluate", leave=False)):
        for row, x in compare(R, D, data.to_float(chunk).to(device), seed=k).items():
            done.setdefault(row, []).append(data.to_unit(x.cpu()))
    done = {row: torch.cat(parts) for row, parts in done.items()}
    truth = done.pop("original")
    measures = (metrics.rmse, metrics.psnr, metrics.ssim)
    return {row: {measure.__name__: measure(x, truth).item() for measure in measures} for row, x in done.items()}
