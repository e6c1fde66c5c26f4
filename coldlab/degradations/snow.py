"""Snow, the one degradation of the course that is neither linear nor built from its predecessor.

The idea that holds this file together: one random field of flakes per image, drawn once; severity only lowers the
threshold above which flakes show and lengthens the motion blur along their fall.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import ColdlabError, unknown
from .base import Degradation
from .kernels import convolution_matrix, gaussian_taps
from .registry import register


@dataclass(frozen=True)
class Snowfall:
    """One of ImageNet-C's snow levels; pairs run linearly from t = 1 to t = T."""

    mean: float
    std: float
    zoom: float
    threshold: tuple
    taps: int
    motion: tuple
    brightness: tuple


SNOW = {
    1: Snowfall(0.1, 0.3, 3, (0.7, 0.3), 5, (0.5, 5), (0.95, 0.7)),
    2: Snowfall(0.55, 0.3, 2.5, (1.15, 0.7), 11, (0.05, 12), (0.95, 0.55)),
    3: Snowfall(0.55, 0.3, 2.5, (1.15, 0.7), 11, (0.05, 16), (0.95, 0.4)),
    4: Snowfall(0.55, 0.3, 2.5, (1.15, 0.55), 11, (0.05, 20), (0.95, 0.3)),
}


@register("snow")
@dataclass(eq=False)
class Snow(Degradation):
    """x_t = 2 clip(o + S_t + rot180 S_t, 0, 1) - 1, o = (x0 + 1)/2; S_t: flakes above a threshold, blurred by motion.

    z = (field (B, size, size), vertical (B,) bool): one flake field and one falling direction per image.
    fix_brightness=False first greys the day: o -> b_t o + (1 - b_t) max(o, 1.5 grey(o) + 1/2). Clipping: not linear.
    """

    size: int
    T: int = 200
    level: int = 3
    fix_brightness: bool = True
    needs_z = True

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.size, int):
            raise ColdlabError(f"snow falls on squares here, not on {self.size}; give one size and cut the image.")
        if self.level not in SNOW:
            raise unknown("snow level", self.level, SNOW)
        snow = SNOW[self.level]
        u = torch.linspace(0, 1, self.T, dtype=torch.float64)
        between = lambda ends: torch.cat([u[:1], ends[0] + (ends[1] - ends[0]) * u])  # entry 0 is never used  # noqa: E731
        self.table("threshold", between(snow.threshold)), self.table("b", between(snow.brightness))
        blur = [convolution_matrix(self.size, gaussian_taps(snow.taps, s), "zero") for s in between(snow.motion)[1:]]
        self.table("K", torch.stack([torch.eye(self.size, dtype=torch.float64), *blur]))

    def draw(self, x0, generator=None):
        snow, options = SNOW[self.level], dict(generator=generator, device=x0.device)
        field = snow.mean + snow.std * torch.randn(len(x0), self.size, self.size, dtype=x0.dtype, **options)
        return self.zoom(field), torch.rand(len(x0), **options) < 0.5

    def zoom(self, field):
        """Enlarge the middle of a field (B, size, size) bilinearly, so that flakes cover several pixels."""
        N, zoom = self.size, SNOW[self.level].zoom
        c = -int(-N // zoom)  # ceil
        M, first = round(c * zoom), (N - c) // 2
        middle = field[:, None, first : first + c, first : first + c]
        large = F.interpolate(middle, size=(M, M), mode="bilinear", align_corners=True)[:, 0]
        return large[:, (M - N) // 2 : (M - N) // 2 + N, (M - N) // 2 : (M - N) // 2 + N]

    def flakes(self, t, z, x0):
        """S_t, (B, 1, size, size) in [0, 1]."""
        field, vertical = z[0].to(x0.dtype).unsqueeze(1), z[1].reshape(-1, 1, 1, 1)
        field = torch.where(field < self.at("threshold", t, x0), 0, field).clamp(0, 1)
        K = self.at("K", t, x0)
        return torch.where(vertical, K @ field, field @ K.mT)

    def degrade(self, x0, t, z):
        S, o, b = self.flakes(t, z, x0), (x0 + 1) / 2, self.at("b", t, x0)
        if not self.fix_brightness:
            grey = o.sum(1, keepdim=True)
            if o.shape[1] == 3:
                grey = 0.299 * o[:, :1] + 0.587 * o[:, 1:2] + 0.114 * o[:, 2:]
            o = b * o + (1 - b) * torch.maximum(o, 1.5 * grey + 0.5)
        snowed = 2 * (o + S + S.rot90(2, (-2, -1))).clamp(0, 1) - 1
        if not torch.is_tensor(t):
            return snowed if t else x0.clone()
        return torch.where((t == 0).to(x0.device).reshape(-1, 1, 1, 1), x0, snowed)
