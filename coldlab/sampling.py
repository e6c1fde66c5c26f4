"""The samplers: from a degraded image back to a clean one, T calls of R. The paper's two, and one between them.

The idea that holds this file together: the paper's samplers differ in one line. All are generators that yield
(r, x_r, x0_hat) for every severity r reached, down to r = 0, so that a trajectory is there for the taking:
`*_, (_, x, _) = improved(R, D, x_T)` is the restored image. `SAMPLERS` lists them by name: whoever adds an entry has
its sampler in evaluation, generation and on the command line.

Between the calls of R the states are in float64. In float32 each step of Algorithm 2 rounds twice, and an R that sees
the inverse of a blur sees those errors up to 250,000 times as large (chapter 4). Such an R is handed the states as they
are (it has an attribute `wide`) and rounds what its network sees only after the inverse: rounded before, the same
image came out differently alone and in a batch.
"""

import functools
import inspect
from itertools import pairwise

import torch

from .errors import ColdlabError, unknown


def in_float64(sampler):
    """The sampler with states in float64 wherever tensors have it (on Apple's GPUs they do not)."""

    @torch.no_grad()
    @functools.wraps(sampler)
    def wide(R, D, x, *settings, **named):
        if not torch.is_tensor(x) or x.device.type == "mps":
            yield from sampler(R, D, x, *settings, **named)
            return
        seen = torch.float64 if getattr(R, "wide", False) else x.dtype
        for r, x_r, x0 in sampler(lambda x_s, s: R(x_s.to(seen), s).double(), D, x.double(), *settings, **named):
            yield r, x_r.to(x.dtype), x0.to(x.dtype)

    return wide


@in_float64
def naive(R, D, x, z=None, severities=None):
    """Algorithm 1: x_r = D(R(x_s, s), r), for s > r > ... > 0.

    R: (x_s, s) -> x0_hat, any callable. x: (B, C, H, W) at the first severity. z: D's latent, drawn once, or a
    callable (x_s, x0_hat, s) -> z such as D.infer. severities: descending, from that of x to 0; default T, T-1, ..., 0.
    What R gets and what is yielded has the dtype of x; an R with a true attribute `wide` gets float64.
    """
    for s, r in pairwise(descending(D, severities)):
        x0 = R(x, s)
        z_s = latent(z, x, x0, s)
        x = D(x0, r, z_s)
        yield r, x, x0


@in_float64
def improved(R, D, x, z=None, severities=None):
    """Algorithm 2: x_r = x_s - D(R(x_s, s), s) + D(R(x_s, s), r). Arguments as in `naive`."""
    for s, r in pairwise(descending(D, severities)):
        x0 = R(x, s)
        z_s = latent(z, x, x0, s)
        x = x - D(x0, s, z_s) + D(x0, r, z_s)
        yield r, x, x0


@in_float64
def averaged(R, D, x, z=None, severities=None, weight=0.1):
    """Algorithm 2 with the running mean of the predictions in the place of the newest: m <- m + w (R(x_s, s) - m).

    weight: w in (0, 1]. w = 1 is Algorithm 2, w -> 0 restores directly: m stays the first prediction. For a D that is
    affine in the image the end is x0 + sum_s (B_r - B_s) (the running mean of the errors up to s), so the errors of
    many calls cancel before they add up. What is yielded as x0_hat is m. Other arguments as in `naive`. Source: ours.
    """
    if not 0 < weight <= 1:
        raise ColdlabError(f"weight = {weight}; it lies above 0 and up to 1, where 1 is Algorithm 2.")
    mean = None
    for s, r in pairwise(descending(D, severities)):
        x0 = R(x, s)
        mean = x0 if mean is None or weight == 1 else mean + weight * (x0 - mean)
        z_s = latent(z, x, mean, s)
        x = x - D(mean, s, z_s) + D(mean, r, z_s)
        yield r, x, mean


SAMPLERS = {"naive": naive, "improved": improved, "averaged": averaged}
COURSE = ("naive", "improved", "averaged")  # what is compared where nobody names samplers; `further` adds more
TITLES = {"naive": "Algorithm 1", "improved": "Algorithm 2"}  # what tables call them; others go by their name


def sampler(name, weight=None):
    """The sampler called `name` in SAMPLERS, with its `weight` set where one is given.

    Raises ColdlabError for an unknown name, and for a weight where the sampler has none or out of its range.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    chosen = SAMPLERS[name]
    if weight is None:
        return chosen
    if "weight" not in inspect.signature(chosen).parameters:
        raise ColdlabError(f"the sampler {name} has no weight; leave it out, or take averaged.")
    if not 0 < weight <= 1:
        raise ColdlabError(f"weight = {weight}; it lies above 0 and up to 1, where 1 is Algorithm 2.")
    return functools.partial(chosen, weight=weight)


def samplers(names=(), weight=None):
    """{name: sampler} of the names, of COURSE where there are none; the weight goes to those that have one."""
    chosen = {name: sampler(name) for name in names or COURSE}
    weighted = [name for name, f in chosen.items() if "weight" in inspect.signature(f).parameters]
    if weight is not None and not weighted:
        raise ColdlabError(f"{', '.join(chosen)}: none of these samplers has a weight; leave it out, or add averaged.")
    return {name: sampler(name, weight if name in weighted else None) for name in chosen}


def latent(z, x, x0, s):
    """z itself, or z estimated from the state and the prediction where z is a callable."""
    return z(x, x0, s) if callable(z) else z


def descending(D, severities):
    """The severities as a list, checked: strictly descending within 0..T and ending at 0."""
    steps = list(range(D.T, -1, -1) if severities is None else severities)
    if len(steps) < 2 or steps[-1] != 0 or steps[0] > D.T or any(r >= s for s, r in pairwise(steps)):
        raise ColdlabError(f"severities {steps} must descend from at most T = {D.T} down to 0, such as [{D.T}, 10, 0].")
    return steps


def evenly(T, steps):
    """steps + 1 severities from T down to 0, as even as integers allow: a sampler's budget of `steps` calls of R."""
    if T != int(T):
        raise ColdlabError(f"severity {T}; it has to be a whole number.")
    if not 1 <= steps <= T:
        raise ColdlabError(f"{steps} steps; a trajectory from T = {T} has 1..{T} of them.")
    return [round(T * (steps - k) / steps) for k in range(steps + 1)]
