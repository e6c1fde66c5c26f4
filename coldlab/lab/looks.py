"""Whether an image file is what `restore` takes it for: one that D has degraded to the severity named, hardly rounded.

The idea that holds this file together: a network restores whatever it is shown. That the picture was another cannot be
seen from the result, so it is looked at before.
"""

import warnings

import numpy as np

from .. import data
from .. import whole as photographs
from ..degradations import EIGHT_BITS, Animorph, Compose, Mask, Noise
from ..errors import ColdlabError

SURE = 0.95  # share of the probability that must lie within a pixel
DETAIL = 0.08  # rms in [-1, 1] of what D cannot have left; strong JPEG compression makes 0.06 of it


def shapes(paths):
    """{path: (C, H, W)} of image files, all read before one is restored. Raises ColdlabError that names what fails."""
    found, lost = {}, {}
    for path in paths:
        try:
            found[path] = tuple(data.read_image(path)[0].shape[1:])
        except ColdlabError as error:
            lost[path] = error
    if len(lost) > 1:
        names = ", ".join(str(path) for path in list(lost)[:5]) + ", ..." * (len(lost) > 5)
        raise ColdlabError(f"{len(lost)} of {len(paths)} images cannot be read, so none was restored: {names}.")
    for error in lost.values():
        raise error
    return found


def warn_of_shape(path, shape, R, name, whole, degrade):
    """Say so where the picture is taken in another size, or in other colours, than it has."""
    channels, height, width = shape
    side = R.config.size
    if whole:
        try:
            rows, columns = photographs.fitting(R.D, np.empty((height, width))).shape
        except ColdlabError as error:
            raise ColdlabError(f"{path}: {error}") from None
    else:
        rows, columns = side, side
    if (channels, height, width) == (R.config.channels, rows, columns):
        return
    found = f"{path} is {width} x {height}, {data.KINDS[channels]}; it is taken as {columns} x {rows}, "
    found += f"{data.KINDS[R.config.channels]}, as {name} " + ("can have it" if whole else "was trained")
    changed = not (degrade or (whole and channels == R.config.channels))
    warnings.warn(found + (", which changes how degraded it is." if changed else "."), stacklevel=2)


def warn_of_rounding(path, x, bits, severity):
    """Say so where the image's contrast is only a few steps of its file's precision: the rest was rounded off."""
    if bits >= 24:
        return
    levels = x.flatten(1).std().item() * (2**bits - 1) / 2  # contrast in steps of the file
    if levels < 10:
        warnings.warn(
            f"{path}: at severity {severity} the contrast is {levels:.1f} of {2**bits} levels; {bits} bits "
            "cannot carry what is left. Give it as .npy or 16-bit, or at a lower severity.",
            stacklevel=2,
        )


def check_told(path, D, name):
    """Raise ColdlabError where D is random and nothing says how it fell on the file, which every sampler asks."""
    if not D.needs_z or D.blind:
        return
    if hasattr(D, "infer") and not isinstance(D, Noise | Animorph | Compose):  # noise has one, which needs a guess
        found = f"{name} has an `infer`, and does not say that it needs no guess of the clean image"
        raise ColdlabError(f"{found}: set blind = True beside needs_z, if it reads z off the degraded one alone.")
    found = f"{name} is random and {path} does not say how it fell; only --degrade can be undone step by step"
    raise ColdlabError(
        f"{found}. Give --sampler direct (one call needs no z), or a class that reads z off the picture."
    )


def bears_a_walk(path, R, x, bits):
    """Whether a sampler may walk from the file x (1, C, H, W), or one call of R is better; where it is, says so.

    What an inverse makes of the rounding of an 8-bit file is taken for detail by a network that never saw one, and
    grows from call to call.
    """
    if bits > 8 or R.config.rounded or R.D.inverse(x, R.D.T) is None:
        return True
    print(f"{path} is rounded to {bits} bits, and this network never saw such files: one call (--sampler walks anyway)")
    return False


def warn_of_detail(path, x, D, severity, eps, z=None):
    """Say so where x holds much that D at this severity leaves nothing of: it was degraded less, or not at all.

    What D can leave of x is D(inverse(x)), regularised by the file's precision eps; a D without an inverse cannot tell.
    A hole leaves no pixel brighter or darker than its share F of white or black; what is beyond counts where F < 1/2.
    Returns whether it was said.
    """
    if isinstance(D, Mask):
        F = D.left(x, severity, z).expand_as(x)
        rest = (x.abs() - F - EIGHT_BITS).clamp(min=0)
        rest = rest[F < 0.5] if (F < 0.5).any() else rest
    elif (back := D.inverse(x, severity, eps, z)) is None:
        return False
    else:
        rest = x - D(back, severity, z)
    rest = rest.square().mean().sqrt().item()
    if rest > DETAIL:
        warnings.warn(
            f"{path} holds detail (rms {rest:.2f}) that severity {severity} would have taken away: where it is clean "
            "give --degrade, where it is less degraded a lower --severity.",
            stacklevel=2,
        )
    return rest > DETAIL


def tell_where(path, x, D, severity, z):
    """Print where the hole of an image is taken to be (z), and whether it might as well be elsewhere."""
    if not (isinstance(D, Mask) and D.blind):
        return
    p, (row, column) = D.likelihood(x, severity)[1], z[0].tolist()
    near = p[0, max(0, row) : row + 3, max(0, column) : column + 3].sum().item()  # within a pixel
    print(f"{path}: the hole is found at row {row}, column {column}", end="")
    print("." if near > SURE else f", which is not sure ({near:.0%}): it hides little, or other places look so too.")
