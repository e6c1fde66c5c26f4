"""Real images as tensors: named datasets, anybody's folder or zip, and single files of 8 or 16 bits.

Images rest as uint8 (N, C, H, W), one tensor per split; `ranges` knows the other ranges, `sets` the named datasets,
`files` a single image, `folders` the names in a folder or zip and `reading` its pixels.
"""

from .files import read_image
from .folders import named
from .ranges import eight_bits, fingerprint, to_float, to_uint8, to_unit
from .sets import ALIGNED, KINDS, NAMES, folder, load

__all__ = ["ALIGNED", "KINDS", "NAMES", "eight_bits", "fingerprint", "folder", "load", "named", "read_image"]
__all__ += ["to_float", "to_uint8", "to_unit"]
