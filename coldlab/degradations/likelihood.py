"""Where a hole is, read off the damaged image.

The idea that holds this file together: a hole leaves pixels near mid-grey, and how near it must leave them is known for
every place where it could be. So all places are tried, at the price of two correlations.
"""

import torch

TAU = 3e-3  # what a pixel of an 8-bit file is wrong by, and a little more


@torch.no_grad()
def likeliest(x, canvas, window):
    """(z, p): the likeliest centres z (B, 2) of the holes in x (B, C, h, w), and the probabilities p (B, h+1, w+1).

    Each pixel is taken for x(q) ~ N(0, v(q)), v(q) = s^2 F(q - z)^2 + tau^2, independently: then z minimises
    sum_q [C log v(q) + sum_c x_c(q)^2 / v(q)]. s^2 is estimated from the whole image, then once more beside the hole.
    canvas: F, (B, 2h, 2w), with its hole at (h - 1, w - 1). window: z -> F as it lies over the images. float64.
    Source: ours.
    """
    B, C, h, w = x.shape
    energy = x.pow(2).sum(1)
    scale = energy.mean((1, 2)) / C
    for _ in range(2):
        v = scale.clamp(min=TAU**2)[:, None, None] * canvas**2 + TAU**2
        surprise = C * correlated(v.log(), torch.ones_like(energy)) + correlated(1 / v, energy)
        surprise = surprise.flip(1, 2)  # from offsets on the canvas, (h, w) - 1 - z, to z + 1
        best = surprise.flatten(1).argmin(1)
        z = torch.stack([best // (w + 1), best % (w + 1)], 1) - 1
        F2 = window(z)[:, 0] ** 2
        scale = (energy * F2).sum((1, 2)) / (C * (F2**2).sum((1, 2)))
    return z, (-surprise / 2).flatten(1).softmax(1).reshape(B, h + 1, w + 1)


@torch.no_grad()
def among_neighbours(x, z, window):
    """The likeliest centres (B, 2) among z (B, 2) and its eight neighbours, by the brightness around each pixel.

    As in `likeliest`, with s^2 of each pixel and channel in place of one for the image: the weighted mean of x^2 / F^2
    around it, under a Gaussian of one pixel. A wrong centre makes one side of the hole's edge too bright and the other
    too dark, which that mean does not excuse. float64. Source: ours.
    """
    B, (h, w) = len(x), x.shape[-2:]
    steps = torch.cartesian_prod(*2 * [torch.arange(-1, 2, device=z.device)])
    last = torch.tensor([h - 1, w - 1], device=z.device)
    candidates = (z[:, None] + steps).clamp(min=-1).minimum(last)  # (B, 9, 2)
    F = window(candidates.flatten(0, 1)).reshape(B, 9, 1, h, w)
    G, G2 = (around(n, x) for n in (h, w))
    energy = x.pow(2)[:, None]
    anywhere = energy.mean((2, 3, 4), keepdim=True)
    s2 = (G @ (energy * F**2) @ G2 + 1e-3 * anywhere) / (G @ F**4 @ G2 + 1e-3)
    v = s2 * F**2 + TAU**2
    best = (v.log() + energy / v).sum((2, 3, 4)).argmin(1)
    return candidates[torch.arange(B, device=z.device), best]


def around(n, x):
    """(n, n): the weights of n pixels in a row around each of them, a Gaussian of one pixel, in the precision of x."""
    pixel = torch.arange(n, device=x.device, dtype=x.dtype)
    G = torch.exp(-((pixel[:, None] - pixel) ** 2) / 2)
    return G / G.sum(1).max()


def correlated(canvas, image):
    """sum_q canvas(q + o) image(q), o = 0..h, 0..w: (B, 2h, 2w) and (B, h, w) -> (B, h+1, w+1)."""
    h, w = image.shape[-2:]
    spectrum = torch.fft.rfft2(canvas) * torch.fft.rfft2(image, s=(2 * h, 2 * w)).conj()
    return torch.fft.irfft2(spectrum, s=(2 * h, 2 * w))[:, : h + 1, : w + 1]
