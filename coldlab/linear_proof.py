"""What becomes of the errors of R: the exact laws of both samplers for a D that is affine in the image.

The idea that holds this file together: given z, such a D is D(x, t, z) = B_t x + c_t, and in every step of a sampler
c_t cancels. What is left of a prediction x0 + e_s is B e_s for one matrix B per step, whatever made the prediction.
"""

from itertools import pairwise

import torch

from .degradations import Separable, each, leaves
from .errors import ColdlabError
from .sampling import descending


def linear_part(D, e, t, z=None):
    """B_t e, for D(x, t, z) = B_t x + c_t. e: (B, C, H, W), any float; returns the same shape."""
    return D(e, t, z) - D(torch.zeros_like(e), t, z)


@torch.no_grad()
def error_law(D, errors, severities=None, z=None, start=None):
    """The error of both samplers' states, computed from the errors of R: yields (r, one, two) for every r reached.

    one = B_r e_s (Algorithm 1), two = n + sum over the steps s -> r so far of (B_r - B_s) e_s (Algorithm 2); at r = 0
    these are e_s of the last call, and n + sum (B_r - B_s) e_s. Premises: D_0 is the identity, x_T = D(x0, T, z) + n.
    errors: {s: e_s}, e_s = R(x_s, s) - x0 of the run in question, (B, C, H, W). severities: as in `sampling.improved`.
    start: n, None for 0. Raises ColdlabError where D_0 is not the identity or D, given z, is not affine at one of the
    severities (`check_affine`). Source: ours (chapter 5, theorem 2).
    """
    steps = descending(D, severities)
    check_affine(D, errors[steps[0]], steps, z)
    two = torch.zeros_like(errors[steps[0]]) if start is None else start
    for s, r in pairwise(steps):
        kept, lost = linear_part(D, errors[s], r, z), linear_part(D, errors[s], s, z)
        two = two + kept - lost
        yield r, kept, two


@torch.no_grad()
def check_affine(D, like, severities, z=None):
    """Raise ColdlabError unless D_0 is the identity and D affine at each of `severities`, both to 1e-4.

    Affine: the middle of two random images goes to the middle of theirs. Tried with the latents of up to four images;
    a D may be affine at T, where nothing is left of the image, and nowhere else. like: images (B, C, H, W).
    """
    few, z = like[:4], each(lambda v: v[:4], z)
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(2, *few.shape, generator=generator, dtype=torch.float64) * 2 - 1).to(few)
    off = (D(x, 0, z) - x).abs().max().item()
    if not off <= 1e-4:
        raise ColdlabError(
            f"{type(D).__name__} is not the identity at severity 0 (off by {off:.2g}); the law needs D(x, 0, z) = x."
        )
    for t in severities:
        off = (D((x + y) / 2, t, z) - (D(x, t, z) + D(y, t, z)) / 2).abs().max().item()
        if not off <= 1e-4:
            raise ColdlabError(
                f"{type(D).__name__} is not affine in the image at severity {t} (off by {off:.2g}); the law needs a D "
                "that is, such as blur, pixelate, mask, desaturate, fade, noise or animorph."
            )


@torch.no_grad()
def white_fraction(D, shape, severities=None, z=None):
    """sqrt(sum_s ||B_r - B_s||_F^2 / CHW): what Algorithm 2 keeps of white errors, independent from step to step.

    shape: (C, H, W) of one image. z: the latent of one image (a batch of one). Algorithm 1 keeps 1, always.
    For blur and pixelate the norm comes from the (H, H) tables; else from CHW images of one lit pixel each.
    Returns a float. Raises ColdlabError as `error_law` does. Source: ours (chapter 5).
    """
    steps, n = descending(D, severities), torch.Size(shape).numel()
    if isinstance(D, Separable):
        inner = lambda r, s: (D.exact["A"][r] * D.exact["A"][s]).sum() ** 2 * shape[0]  # <A_r x A_r, A_s x A_s>  # noqa: E731
        total = sum(inner(r, r) + inner(s, s) - 2 * inner(r, s) for s, r in pairwise(steps))
    else:
        pixels, z = torch.eye(n, dtype=torch.float64).reshape(n, *shape), repeated(z, n)
        check_affine(D, pixels, steps, z)
        B = (linear_part(D, pixels, t, z) for t in steps)
        total = sum((b_r - b_s).square().sum() for b_s, b_r in pairwise(B))
    return (total / n).sqrt().item()


def repeated(z, n):
    """The latent of one image, n times."""
    if any(len(leaf) != 1 for leaf in leaves(z)):
        raise ColdlabError(f"z is the latent of {len(leaves(z)[0])} images; white_fraction takes that of one.")
    return each(lambda v: v.expand(n, *v.shape[1:]), z)
