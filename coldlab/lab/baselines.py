"""What restores without a network, to be beaten: the regularised inverse, the best linear estimate, sharpening.

The idea that holds this file together: each knows D and what an earlier century knew of images, their mean, their
covariance and that edges are sharp. What a network does better it has learnt.
"""

import torch
import torch.nn.functional as F
from tqdm import tqdm

from ..data import eight_bits, to_float, to_unit
from ..degradations import EIGHT_BITS, FLOAT32, Mask, Separable, each
from ..metrics import rmse

MOST = 10_000  # training images that the covariance is estimated from
WHOLE = 0.9  # share of a pixel from which on it is not in need of an estimate
AMOUNTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@torch.no_grad()
def baselines(D, images, training, z=None, rounded=False):
    """{"inverse", "linear", "sharpened": images in [0, 1]} restored from x_T of uint8 images (N, C, H, W).

    training: uint8 images of the same kind, whose covariance (of each channel) the linear estimate knows, and which
    choose how much is sharpened. z: D's latent, the true one. rounded: x_T as an 8-bit file holds it.
    Ways that D does not admit are left out.
    """
    eps, found = EIGHT_BITS if rounded else FLOAT32, {"sharpened": []}
    x0 = to_float(images)
    estimate = Linear(D, training, eps) if isinstance(D, Separable | Mask) else None
    amount = best_amount(D, to_float(training[:: max(1, len(training) // 500)]), rounded)
    for part in tqdm(torch.arange(len(images)).split(256), "baselines", leave=False, disable=None):
        z_part = each(lambda v, part=part: v[part], z)
        x = D(x0[part], D.T, z_part)
        x = eight_bits(x) if rounded else x
        rows = {"sharpened": sharpened(x, amount)}
        if (inverse := D.inverse(x, D.T, eps, z_part)) is not None:
            rows["inverse"] = inverse
        if estimate is not None:
            rows["linear"] = estimate(x, z_part)
        for row, restored in rows.items():
            found.setdefault(row, []).append(to_unit(restored.to(x0.dtype)))
    return {row: torch.cat(parts) for row, parts in found.items()}


def seen(D, t, x):
    """A x of each row of x (..., n), the n pixels of a channel: D at t, linear in the image, without noise (z = 0)."""
    images = x.contiguous().view(-1, 1, D.size, D.size)
    return D(images, t, torch.zeros_like(images) if D.needs_z else None).reshape(x.shape)


def gain(D, t, cov, variance):
    """(G, A S): Wiener's gain G = S A^T (A S A^T + variance I)^-1, of images with covariance S seen as A x and noise.

    cov: S (n, n), or (C, n, n) for each channel. variance: of the noise in a pixel. A is never made into a matrix:
    D itself is applied to the rows of S and to those of A S. Source: Wiener 1949.
    """
    product = seen(D, t, cov).mT
    noisy = seen(D, t, product).contiguous()
    noisy.diagonal(dim1=-2, dim2=-1).add_(variance)
    return torch.linalg.solve(noisy, product).mT, product


class Linear:
    """The linear estimate of least mean squared error: m + S A^T (A S A^T + eps^2)^-1 (x - A m), channel by channel.

    A: D at T as a matrix over pixels; m, S: mean and covariance of training images. It is Wiener's filter with the
    data's own spectrum, for images and degradations that need not be stationary. Behind a mask every hole has an A of
    its own and is solved for by itself. Source: Wiener 1949.
    """

    def __init__(self, D, training, eps):
        self.D, self.eps = D, eps
        pixels = to_float(training[:: max(1, len(training) // MOST)]).double().flatten(2).transpose(0, 1)
        self.mean = pixels.mean(1)  # (C, n)
        centred = pixels - self.mean[:, None]
        self.cov = centred.mT @ centred / (pixels.shape[1] - 1)  # (C, n, n)
        if isinstance(D, Mask):
            ridge = EIGHT_BITS**2 * torch.eye(self.cov.shape[-1], dtype=torch.float64)
            self.precision = torch.linalg.inv(self.cov + ridge)
        else:
            self.gain, _ = gain(D, D.T, self.cov, eps**2)

    def of_hole(self, x, F):
        """The estimate of images x (B, C, n) of whose pixels F (n,) is left: only what a mask hides is solved for."""
        whole, hidden = (F > WHOLE).nonzero()[:, 0], (F <= WHOLE).nonzero()[:, 0]
        restored = x / F.clamp(min=WHOLE)
        known = (restored - self.mean)[..., whole]
        trust = F[hidden] / self.eps**2
        right = trust * (x - F * self.mean)[..., hidden]
        right = right - torch.einsum("chw,bcw->bch", self.precision[:, hidden[:, None], whole], known)
        left = self.precision[:, hidden[:, None], hidden] + torch.diag(trust * F[hidden])
        restored[..., hidden] = self.mean[:, hidden] + torch.linalg.solve(left, right.permute(1, 2, 0)).permute(2, 0, 1)
        return restored

    def __call__(self, x, z):
        flat, size = x.double().flatten(2), self.D.size  # (B, C, n)
        if isinstance(self.D, Mask):
            left = self.D.left(x.double(), self.D.T, z).expand(len(x), 1, -1, -1).flatten(1)
            holes, which = left.unique(dim=0, return_inverse=True)  # one in the middle is solved for once
            found = torch.empty_like(flat)
            for k, F in enumerate(holes):
                found[which == k] = self.of_hole(flat[which == k], F)
            return found.reshape(x.shape)
        seen = self.D(self.mean.reshape(1, -1, size, size), self.D.T).flatten(2)[0]
        return (self.mean + torch.einsum("cij,bcj->bci", self.gain, flat - seen)).reshape(x.shape)


def sharpened(x, amount):
    """Unsharp masking: x + amount (x - x smoothed by 1/4, 1/2, 1/4 in both directions), within [-1, 1]."""
    line = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype, device=x.device) / 4
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    soft = F.conv2d(F.pad(x, (1,) * 4, mode="replicate"), kernel, groups=x.shape[1])
    return (x + amount * (x - soft)).clamp(-1, 1)


def best_amount(D, x0, rounded):
    """The amount of sharpening with the least error on x0 in [-1, 1]."""
    z = D.draw(x0, torch.Generator().manual_seed(0))
    x = D(x0, D.T, z)
    x = eight_bits(x) if rounded else x
    return min(AMOUNTS, key=lambda amount: rmse(to_unit(sharpened(x, amount)), to_unit(x0)).item())
