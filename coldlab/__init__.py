"""coldlab: cold diffusion for any image transform, from a laptop CPU to many GPUs.

>>> R = coldlab.load_pretrained("digits-blur")  # a network that undoes blur
>>> D = R.D                                     # the blur itself: D(x0, t), t = 0..20
>>> x0 = coldlab.data.to_float(coldlab.data.load("digits", "test")[0][:8])
>>> *_, (_, restored, _) = coldlab.sampling.improved(R, D, D(x0, D.T))  # Algorithm 2
"""

from . import data, degradations, further, metrics, presets, sampling, training, unet
from .checkpoints import load_pretrained
from .errors import ColdlabError

__version__ = "0.1.0"
__all__ = ["ColdlabError", "data", "degradations", "further", "load_pretrained", "metrics", "presets", "sampling"]
__all__ += ["training", "unet"]
