"""Beyond the paper: samplers of others and of ours, the severities to take, and networks asked for a class.

The idea that holds this file together: the network stays as it is, and what is made of its guesses changes. One sampler
averages them, one looks where its step would lead, one corrects them by what was observed. Importing coldlab enters
them in `SAMPLERS`; `evaluate --sampler heun consistent` compares them.
"""

from itertools import pairwise

import torch

from .degradations import FLOAT32, Separable
from .errors import ColdlabError
from .sampling import SAMPLERS, descending, in_float64, latent


@in_float64
def polyak(R, D, x, z=None, severities=None):
    """Algorithm 2 with the plain mean of all predictions so far, m_k = m_{k-1} + (R(x_s, s) - m_{k-1}) / k.

    Polyak's average: `averaged` without a weight to choose. Arguments and what is yielded as in `sampling.averaged`.
    """
    mean = None
    for k, (s, r) in enumerate(pairwise(descending(D, severities)), 1):
        x0 = R(x, s)
        mean = x0 if mean is None else mean + (x0 - mean) / k
        z_s = latent(z, x, mean, s)
        x = x - D(mean, s, z_s) + D(mean, r, z_s)
        yield r, x, mean


@in_float64
def heun(R, D, x, z=None, severities=None):
    """Heun's step of the equation dx/ds = dD/ds (R(x, s), s), whose Euler step Algorithm 2 is: two calls of R a step.

    x' = x_s + d(R(x_s, s)), d(x0) = D(x0, r) - D(x0, s); then x_r = x_s + (d(R(x_s, s)) + d(R(x', r))) / 2. The step to
    r = 0 is Euler's: R knows no severity 0. Arguments as in `sampling.naive`. Source: Karras et al. 2022, algorithm 1.
    """
    for s, r in pairwise(descending(D, severities)):
        x0 = R(x, s)
        z_s = latent(z, x, x0, s)
        moved = D(x0, r, z_s) - D(x0, s, z_s)
        if r:
            x0 = R(x + moved, r)
            moved = (moved + D(x0, r, z_s) - D(x0, s, z_s)) / 2
        x = x + moved
        yield r, x, x0


@in_float64
def consistent(R, D, x, z=None, severities=None, eps=FLOAT32):
    """Algorithm 2 with each prediction corrected until it degrades to what was observed: x0 + D_T^+ (x_T - D(x0, T)).

    D_T^+ is D's regularised inverse, eps its relative error of the pixels (`Degradation.inverse`). What x_T still says
    of the image is taken from x_T, only the rest from R. Other arguments as in `sampling.naive`; z is no callable here.
    Raises ColdlabError for a D without an inverse. Source: DDNM (Wang et al. 2023), with a regularised inverse.
    """
    steps = descending(D, severities)
    observed, T = x, steps[0]
    if D.inverse(x, T, eps, None if callable(z) else z) is None:
        raise ColdlabError(f"{type(D).__name__} has no inverse, so a guess cannot be corrected by what was observed.")
    z = z(x, None, T) if callable(z) else z
    for s, r in pairwise(steps):
        x0 = R(x, s)
        x0 = x0 + D.inverse(observed - D(x0, T, z), T, eps, z)
        x = x - D(x0, s, z) + D(x0, r, z)
        yield r, x, x0


FURTHER = {"polyak": polyak, "heun": heun, "consistent": consistent}
SAMPLERS |= FURTHER


def best_severities(D, calls):
    """The `calls` + 1 severities from T to 0 by which Algorithm 2 keeps least of white errors (chapter 5).

    A step s -> r keeps ||B_r - B_s||_F^2 = <B_r, B_r> + <B_s, B_s> - 2 <B_r, B_s> of them, whatever the other steps
    are, so that the best way is a shortest path. Returns descending ints. Raises ColdlabError for a D that is no blur
    or pixelation of squares, and for a number of calls that is not 1..T.
    """
    if not isinstance(D, Separable) or "A" not in D.exact:
        raise ColdlabError(f"the best severities are computed from D's matrices, and {type(D).__name__} here has none.")
    if not 1 <= calls <= D.T:
        raise ColdlabError(f"{calls} calls; a trajectory from T = {D.T} has 1..{D.T} of them.")
    A = D.exact["A"].flatten(1)
    inner = (A @ A.T) ** 2  # <B_r, B_s> = <A_r, A_s>^2, since B_t x = A_t x A_t^T
    cost = inner.diag() + inner.diag()[:, None] - 2 * inner
    least, path = cost[:, 0].clone(), {s: [s, 0] for s in range(1, D.T + 1)}  # by one call from s to 0
    for n in range(2, calls + 1):
        by = {s: min((cost[s, r] + least[r], r) for r in range(n - 1, s)) for s in range(n, D.T + 1)}
        least[list(by)] = torch.stack([total for total, _ in by.values()])
        path = {s: [s, *path[r]] for s, (_, r) in by.items()}
    return path[D.T]


def asked(R, label, guidance=1.0):
    """R told which class its images are of: (1 - w) R(x, t) + w R(x, t, label), w the guidance.

    label: one class for all. w = 1 is R with the label, w > 1 goes beyond, away from what R restores without. R calls
    its network twice then. Raises ColdlabError for a network without classes, an unknown one, or w < 0. Source: Ho and
    Salimans 2022 (classifier-free guidance).
    """
    classes = R.config.classes
    if not classes:
        raise ColdlabError("this network knows no classes; train one with --classes, or take mnist-blur-classes.")
    if not 0 <= label < classes or guidance < 0:
        found = f"label {label}, guidance {guidance}"
        raise ColdlabError(f"{found}; the labels are 0..{classes - 1}, guidance is 0 or more.")

    def guided(x, t):
        told = R(x, t, torch.full((len(x),), label, device=x.device))
        return told if guidance == 1 else told + (guidance - 1) * (told - R(x, t))

    guided.wide, guided.parameters = getattr(R, "wide", False), R.parameters
    return guided
