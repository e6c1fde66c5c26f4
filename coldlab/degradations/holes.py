"""Holes: masks that hide a part of the picture, and fades that let it go out in one colour.

The idea that holds this file together: a hole is a product of Gaussian ones, so its table is a cumulative product; and
since it leaves its mark on any picture, where it lies (or which colour it has) can be read off the damaged image.
"""

from dataclasses import dataclass

import torch

from ..errors import ColdlabError, unknown
from .base import EIGHT_BITS, Degradation, regularised
from .likelihood import among_neighbours, likeliest
from .registry import register


def hole(distance2, std):
    """1 - exp(-d^2 / 2 std^2): zero at the centre, one far away."""
    return 1 - torch.exp(-distance2 / (2 * std**2))


def holes(rows, columns, T, kernel_std, initial_mask):
    """(T + 1, h, w): the product of the first t holes, standard deviations kernel_std (i + initial_mask).

    rows (h,), columns (w,): how far each lies from the centre.
    """
    if not (kernel_std > 1e-100 and initial_mask > 0):  # a square of less would be 0
        raise ColdlabError(f"kernel_std = {kernel_std}, initial_mask = {initial_mask}; both must be above 0.")
    d2 = rows[:, None].double() ** 2 + columns.double() ** 2
    F = torch.ones(T + 1, *d2.shape, dtype=torch.float64)
    for i in range(T):  # in place: of a photograph this is the largest table
        torch.mul(F[i], hole(d2, kernel_std * (i + initial_mask)), out=F[i + 1])
    return F


def from_middle(shape):
    """How far each row and each column lies from the official code's centre, n/2 - 1."""
    return [torch.arange(n) - (n // 2 - 1) for n in shape]


@register("mask")
@dataclass(eq=False)
class Mask(Degradation):
    """Inpainting: x_t = x0 F_0 ... F_{t-1}, F_i = 1 - exp(-d^2 / 2 sigma_i^2), sigma_i = kernel_std (i + initial_mask).

    Hidden pixels go to 0, mid-grey. centre: random (z = (B, 2) long: row, column in -1..n-1) | centred (n/2 - 1).
    Its table has 8 (T + 1)(h + 1)(w + 1) bytes: 0.4 MB for 32 x 32 pixels, 112 MB for a photograph of 427 x 640.
    """

    size: int | tuple[int, int]
    T: int = 50
    kernel_std: float = 0.1
    initial_mask: int = 11
    centre: str = "random"

    def __post_init__(self):
        super().__post_init__()
        if self.centre not in ("random", "centred"):
            raise unknown("mask centre", self.centre, ("random", "centred"))
        self.needs_z = self.blind = self.centre == "random"
        # Of a hole anywhere in -1..n-1 no pixel is further off than n rows and columns; it looks alike on all sides.
        far = [torch.arange(n + 1) for n in self.shape] if self.needs_z else from_middle(self.shape)
        self.table("F", holes(*far, self.T, self.kernel_std, self.initial_mask))

    def draw(self, x0, generator=None):
        if not self.needs_z:
            return None
        how, (h, w) = dict(generator=generator, device=x0.device), self.shape
        if h == w:  # what the results were measured with
            return torch.randint(-1, h, (len(x0), 2), **how)
        return torch.stack([torch.randint(-1, n, (len(x0),), **how) for n in (h, w)], 1)

    def left(self, x, t, z):
        F = self.at("F", t, x)
        if not self.needs_z:
            return F.reshape(-1, 1, *self.shape)
        return self.around(F.expand(len(x), 1, -1, -1), z)

    def around(self, F, z):
        """The holes F (B, 1, h + 1, w + 1), by distance from their middle, with that at z: (B, 1, h, w)."""
        image = torch.arange(len(z), device=z.device)[:, None, None]
        # How far each row and each column lies from it, (B, h) and (B, w).
        rows, columns = ((torch.arange(n, device=z.device) - z[:, i : i + 1]).abs() for i, n in enumerate(self.shape))
        return F[:, 0][image, rows[:, :, None], columns[:, None, :]].unsqueeze(1)

    def degrade(self, x0, t, z):
        return x0 * self.left(x0, t, z)

    def invert(self, x, t, eps, z):
        return x * regularised(self.left(x, t, z), eps)

    def infer(self, x, x0_hat, t):
        """Where the hole most likely is, z (B, 2), from what a hole does to any image (x0_hat is not needed)."""
        if not self.needs_z:
            return None
        x, F = self.wide(x, t)
        z, _ = likeliest(x, self.canvas(F), lambda z: self.around(F, z))
        return among_neighbours(x, z, lambda z: self.around(F.repeat_interleave(9, 0), z))

    def likelihood(self, x, t):
        """(z, p): the likeliest centre (B, 2) of each hole, and the probability of every centre, (B, h+1, w+1).

        p[:, i, j] belongs to z = (i - 1, j - 1); see `likeliest`. The probabilities take pixels for independent.
        `infer` starts from this z and looks once more at its neighbours.
        """
        x, F = self.wide(x, t)
        return likeliest(x, self.canvas(F), lambda z: self.around(F, z))

    def canvas(self, F):
        """The whole holes (B, 2 h, 2 w), their middle at h - 1, w - 1: every hole of an image is a window of it."""
        rows, columns = ((torch.arange(2 * n, device=F.device) - (n - 1)).abs() for n in self.shape)
        return F[:, 0, rows[:, None], columns]

    def wide(self, x, t):
        """x and the holes at its severities by distance, (B, 1, h + 1, w + 1), in float64."""
        return x.double(), self.at("F", t, x).double().expand(len(x), 1, -1, -1)


@register("fade")
@dataclass(eq=False)
class Fade(Degradation):
    """Fade to one colour: x_t = (1 - w_t) x0 + w_t z, z = (B, C) one colour per image, uniform in [-1/2, 1/2).

    w_t is the product of the first T - t holes of `Mask`, w_T = 1: the picture shrinks to a disc and goes out.
    """

    size: int | tuple[int, int]
    T: int = 750
    kernel_std: float = 0.05
    initial_mask: int = 1
    needs_z = blind = True

    def __post_init__(self):
        super().__post_init__()
        w = holes(*from_middle(self.shape), self.T, self.kernel_std, self.initial_mask).flip(0)
        w[0] = 0  # the formula is not the identity at t = 0; by definition D_0 is
        self.table("w", w)

    def draw(self, x0, generator=None):
        return torch.rand(x0.shape[:2], generator=generator, device=x0.device, dtype=x0.dtype) - 0.5

    def degrade(self, x0, t, z):
        w = self.at("w", t, x0)
        return (1 - w) * x0 + w * z[:, :, None, None].to(x0.dtype)

    def left(self, x, t, z):
        return (1 - self.at("w", t, x)).reshape(-1, 1, *self.shape)

    def invert(self, x, t, eps, z):
        w = self.at("w", t, x)
        return (x - w * z[:, :, None, None].to(x.dtype)) * regularised(1 - w, eps)

    def infer(self, x, x0_hat, t):
        """The likeliest colour z (B, C), read where w is near 1: x = (1 - w) x0 + w z, x0 ~ N(0, 1), z ~ N(0, 1/12)."""
        w = self.at("w", t, x).expand(len(x), 1, -1, -1)
        trust = w / ((1 - w) ** 2 + EIGHT_BITS**2)
        return ((trust * x).sum((2, 3)) / ((trust * w).sum((2, 3)) + 12)).to(x.dtype)
