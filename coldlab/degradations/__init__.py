"""Every way of ruining an image that the course knows: D(x0, t, z), t = 0..T, with D(x0, 0, z) = x0.

`base` holds what all of them share, `family`, `holes` and `snow` the classes, `registry` their names; `make` builds one
by its name.
"""

from .base import EIGHT_BITS, FLOAT32, Degradation, Separable, each, leaves
from .family import Animorph, Blur, Compose, Desaturate, Noise, Pixelate, make
from .holes import Fade, Mask
from .registry import REGISTRY, register
from .snow import Snow

__all__ = ["EIGHT_BITS", "FLOAT32", "REGISTRY", "Animorph", "Blur", "Compose", "Degradation", "Desaturate", "Fade"]
__all__ += ["Mask", "Noise", "Pixelate", "Separable", "Snow", "each", "leaves", "make", "register"]
