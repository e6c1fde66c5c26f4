"""Blurs along one axis: their taps, their matrices, and the waves that every one of them leaves as they are.

The idea that holds this file together: a matrix per severity is the quicker way for thumbnails and fills gigabytes for
photographs. All blurs with the same border have the same waves; so these are kept once, and a gain per severity.
"""

import torch

from ..errors import ColdlabError, unknown

LARGE = 256  # pixels on a side from which on Blur works with waves


def gaussian_taps(kernel, std):
    """`kernel` weights exp(-(j - kernel//2)^2 / 2 std^2), normalised to sum 1 after the cut."""
    if kernel % 2 == 0 or kernel < 1:
        raise ColdlabError(f"kernel = {kernel}; a blur needs an odd kernel, so that it has a middle.")
    if std <= 0:
        raise ColdlabError(f"std = {std}; a Gaussian needs a standard deviation above 0.")
    j = torch.arange(kernel, dtype=torch.float64) - kernel // 2
    taps = torch.exp(-(j**2) / (2 * std**2))
    if not taps.isfinite().all():
        raise ColdlabError(f"std = {std} is too small to compute with; use one of some pixels, such as 0.5.")
    return taps / taps.sum()


def convolution_matrix(size, taps, padding):
    """The (size, size) band matrix of a 1-D convolution with circular, reflect or zero borders."""
    half = len(taps) // 2
    if padding not in ("circular", "reflect", "zero"):
        raise unknown("padding", padding, ("circular", "reflect", "zero"))
    if padding == "reflect" and half >= size:
        raise ColdlabError(f"kernel = {len(taps)} is too wide to reflect at size {size}; use one below {2 * size}.")
    source = torch.arange(size)[:, None] + torch.arange(-half, half + 1)  # (size, kernel): the pixel each tap reads
    weights = taps.expand(size, -1)
    if padding == "circular":
        source = source % size
    elif padding == "reflect":
        source = (size - 1) - ((size - 1) - source.abs()).abs()
    else:
        weights = weights * ((source >= 0) & (source < size))
        source = source.clamp(0, size - 1)
    return torch.zeros(size, size, dtype=torch.float64).scatter_add_(1, source, weights)


def circular_waves(n, taps):
    """(V (n, n), gains (T, n)): sines and cosines that fit the circle, and what each of T blurs leaves of them."""
    k = torch.arange(n, dtype=torch.float64)
    frequency = (k + 1) // 2
    phase = torch.where(k % 2 == 1, torch.pi / 4, -torch.pi / 4)  # sin + cos and sin - cos of each frequency
    V = torch.sin(2 * torch.pi * k[:, None] * frequency / n + phase) * (2 / n) ** 0.5
    return V, responses(taps, 2 * torch.pi * frequency / n)


def reflect_waves(n, taps):
    """The same for mirrors at the first and the last pixel: cosines with a whole number of half waves between."""
    k = torch.arange(n, dtype=torch.float64)
    return torch.cos(torch.pi * k[:, None] * k / (n - 1)), responses(taps, torch.pi * k / (n - 1))


def responses(taps, angle):
    """What symmetric taps (T, kernel) leave of waves that advance by `angle` (n,) per pixel: (T, n)."""
    j = torch.arange(taps.shape[1], dtype=torch.float64) - taps.shape[1] // 2
    return taps @ torch.cos(j[:, None] * angle)


WAVES = {"circular": circular_waves, "reflect": reflect_waves}
