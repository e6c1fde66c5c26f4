"""How far two batches of images lie apart: RMSE, PSNR and SSIM, as the paper measures them, with their uncertainty.

The idea: every metric takes images in [0, 1] and refuses others, because a metric of images in [-1, 1] is a plausible
number that is wrong. Sums run in float64 over chunks, so that the result depends neither on the batch nor on its order.
"""

import torch
import torch.nn.functional as F

from ..errors import ColdlabError

WINDOW = 11  # side of SSIM's window
CHUNK = 256  # images whose float64 copies are in memory at once


def rmse(x, y, per_image=False):
    """Root mean squared error over all pixels of all images: sqrt(mean((x - y)^2)), from 0 to 1.

    x, y: float (N, C, H, W) in [0, 1]. Returns a float64 scalar; (N,) with per_image, whose mean is *not* the scalar.
    Raises ColdlabError for shapes that differ and for values outside [0, 1]. Source: the paper's tables.
    """
    mse = _chunked(_squared_error, x, y)
    return (mse if per_image else mse.mean()).sqrt()


def psnr(x, y, per_image=False):
    """Peak signal-to-noise ratio in dB for peak 1: -20 log10(rmse(x, y)); infinite for equal images.

    Arguments, shapes and errors as in `rmse`: the scalar is over all pixels, not the mean of the images' ratios.
    """
    return -20 * rmse(x, y, per_image).log10()


def ssim(x, y, per_image=False):
    """Structural similarity (Wang et al. 2004): 1 for equal images, about 0 for unrelated ones.

    The paper's variant: 11 x 11 Gaussian window with sigma 1.5, only windows that lie inside the image, K = 0.01, 0.03,
    range 1, mean over windows and channels. x, y: float (N, C, H, W) in [0, 1], H and W at least 11.
    Returns a float64 scalar (the mean over images), or (N,). Equals pytorch_msssim.ssim(x, y, data_range=1).
    Raises ColdlabError as `rmse` does, and for images smaller than the window.
    """
    if x.ndim == 4 and min(x.shape[-2:]) < WINDOW:
        raise ColdlabError(f"SSIM's window is 11 x 11 and the images are {x.shape[-2]} x {x.shape[-1]}; enlarge them.")
    values = _chunked(_structure, x, y)
    return values if per_image else values.mean()


def bootstrap(values, resamples=1000, seed=0):
    """The means (resamples,) of values (N,) of images drawn with replacement, N each time; float64."""
    values = torch.as_tensor(values).double().flatten().cpu()
    if len(values) == 0:
        raise ColdlabError("there are no values to draw from; give one per image.")
    generator = torch.Generator().manual_seed(seed)
    parts = (min(50, resamples - done) for done in range(0, resamples, 50))
    draws = [values[torch.randint(len(values), (n, len(values)), generator=generator)].mean(1) for n in parts]
    return torch.cat(draws)


def draws(metric, x, y, resamples=1000, seed=0):
    """What rmse, psnr or ssim comes to for images of x and y drawn with replacement, (resamples,), float64.

    One seed draws the same images whatever x and y are, so that the draws of two restorations can be subtracted.
    """
    if metric is ssim:
        return bootstrap(metric(x, y, per_image=True), resamples, seed)
    found = bootstrap(rmse(x, y, per_image=True).square(), resamples, seed).sqrt()  # squared errors are what averages
    return -20 * found.log10() if metric is psnr else found


def interval(metric, x, y, level=0.95, resamples=1000, seed=0):
    """(low, high): the bootstrap's interval of rmse, psnr or ssim over the images of x and y.

    It says how far the number would move with other images of the same kind. It does not speak of another training run.
    """
    return middle(draws(metric, x, y, resamples, seed), level)


def middle(found, level=0.95):
    """(low, high): the ends between which the middle `level` of draws (resamples,) lies."""
    ends = torch.tensor([1 - level, 1 + level], dtype=torch.float64) / 2
    low, high = torch.quantile(found, ends, interpolation="nearest").tolist()  # infinite PSNRs stay
    return low, high


def _structure(x, y):
    """SSIM of each image, (N,)."""
    window = torch.exp(-((torch.arange(11, dtype=x.dtype, device=x.device) - 5) ** 2) / (2 * 1.5**2))
    window = window / window.sum()

    def blur(v):
        v = v.flatten(0, 1)[:, None]  # each channel by itself; valid borders
        return F.conv2d(F.conv2d(v, window.view(1, 1, 11, 1)), window.view(1, 1, 1, 11))

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    structure = (2 * cov + 0.03**2) / (var_x + var_y + 0.03**2)
    return (luminance * structure).reshape(len(x), -1).mean(1)


def span(images):
    """("from 0 to 1", True): the values of images, and whether they lie in [0, 1]; NaN does not."""
    low, high = images.min().item(), images.max().item()
    return f"from {low:.6g} to {high:.6g}", low >= -1e-4 and high <= 1 + 1e-4


def _squared_error(x, y):
    return (x - y).square().flatten(1).mean(1)


def _chunked(metric, x, y):
    """The metric of each image in float64, (N,), after the checks that all metrics share."""
    if x.ndim != 4 or x.shape != y.shape or x.numel() == 0:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ColdlabError(f"images have shapes {shapes}; a metric compares two batches of one shape (N, C, H, W).")
    for images in (x, y):
        found, inside = span(images)
        if not images.is_floating_point() or not inside:
            found = f"{images.dtype} {found}"
            raise ColdlabError(f"images are {found}; metrics take floats in [0, 1]: use coldlab.data.to_unit.")
    if x.device.type == "mps":  # which has no float64
        x, y = x.cpu(), y.cpu()
    pairs = zip(x.split(CHUNK), y.split(CHUNK), strict=True)
    return torch.cat([metric(a.double(), b.double()) for a, b in pairs])
