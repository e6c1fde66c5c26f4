"""Where a hole is, read off the damaged image.

The idea that holds this file together: a hole leaves pixels near mid-grey, and how near it must leave them is known for
every place where it could be. So all places are tried, at the price of two correlations.
"""

import torch

TAU = 3e-3  # what a pixel of an 8-bit file is wrong by, and a little more


@torch.no_grad()
def likeliest(x, canvas, window):
    """(z, p): the likeliest centres z (B, 2) of the holes in x (B, C, n, n), and the probabilities p (B, n+1, n+1).

    Each pixel is taken for x(q) ~ N(0, v(q)), v(q) = s^2 F(q - z)^2 + tau^2, independently: then z minimises
    sum_q [C log v(q) + sum_c x_c(q)^2 / v(q)]. s^2 is estimated from the whole image, then once more beside the hole.
    canvas: F, (B, 2n, 2n), with its hole at n - 1. window: z -> F as it lies over the images. float64. Source: ours.
    """
    B, C, n, _ = x.shape
    energy = x.pow(2).sum(1)
    scale = energy.mean((1, 2)) / C
    for _ in range(2):
        v = scale.clamp(min=TAU**2)[:, None, None] * canvas**2 + TAU**2
        surprise = C * correlated(v.log(), torch.ones_like(energy)) + correlated(1 / v, energy)
        surprise = surprise.flip(1, 2)  # from offsets on the canvas, n - 1 - z, to z + 1
        best = surprise.flatten(1).argmin(1)
        z = torch.stack([best // (n + 1), best % (n + 1)], 1) - 1
        F2 = window(z)[:, 0] ** 2
        scale = (energy * F2).sum((1, 2)) / (C * (F2**2).sum((1, 2)))
    return z, (-surprise / 2).flatten(1).softmax(1).reshape(B, n + 1, n + 1)


def correlated(canvas, image):
    """sum_q canvas(q + o) image(q) for o = 0..n in both directions: (B, 2n, 2n) and (B, n, n) -> (B, n+1, n+1)."""
    n = image.shape[-1]
    spectrum = torch.fft.rfft2(canvas) * torch.fft.rfft2(image, s=(2 * n, 2 * n)).conj()
    return torch.fft.irfft2(spectrum, s=(2 * n, 2 * n))[:, : n + 1, : n + 1]
