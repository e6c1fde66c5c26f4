"""The Fréchet distance between two sets of features, and how far it can be trusted.

The idea that holds this file together: a set of features is summed up by its mean and covariance, so the distance is
one of two Gaussians, and a function of the sample as much as of the images. Everything runs in float64: the distance is
a small difference of large traces.
"""

import warnings

import torch

from ..errors import ColdlabError


class Moments:
    """Mean and covariance of features that arrive in batches, in float64 and without keeping the features.

    dim: the number of features F. `update` takes (N, F); `count`, `mean` (F,) and `cov` (F, F, divided by count - 1, as
    numpy.cov does) describe all that has come so far. Batches are merged by their means and centred sums (Chan, Golub,
    LeVeque 1979): a sum of squares would cancel.
    """

    def __init__(self, dim):
        self.dim, self.count = dim, 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self._sum = torch.zeros(dim, dim, dtype=torch.float64)  # of centred products

    def update(self, features):
        """Take in features (N, F); returns self. Raises ColdlabError for another F and for NaN or infinity."""
        x = check(features)
        if x.shape[1] != self.dim:
            raise ColdlabError(f"there are {x.shape[1]} features and there were {self.dim}; one net gives one number.")
        if len(x) == 0:
            return self
        mean, total = x.mean(0), self.count + len(x)
        step = mean - self.mean
        self._sum += (x - mean).T @ (x - mean) + step[:, None] * step * (self.count * len(x) / total)
        self.mean, self.count = self.mean + step * (len(x) / total), total
        return self

    @property
    def cov(self):
        if self.count < 2:
            raise ColdlabError(f"{self.count} images have no covariance; give two or more.")
        return self._sum / (self.count - 1)


def moments(features):
    """The Moments of features (N, F)."""
    features = check(features)
    return Moments(features.shape[1]).update(features)


def frechet(a, b):
    """Fréchet distance of two sets, a float64 scalar: ``|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)``.

    a, b: Moments, or features (N, F). It is the squared Wasserstein-2 distance of two Gaussians (Dowson, Landau 1982);
    on the pool features of Inception it is FID (Heusel et al. 2017), on others it is named after their net. The root is
    that of a symmetric matrix by its eigenvalues, so that no imaginary part arises; rounding below zero is cut off.

    Raises ColdlabError for different F, NaN, infinity, and fewer than two images. Warns where a set has no more images
    than features: its covariance has no full rank, and the distance says more about the number of images than of them.
    """
    a, b = (x if isinstance(x, Moments) else moments(x) for x in (a, b))
    if a.dim != b.dim:
        raise ColdlabError(f"the sets have {a.dim} and {b.dim} features; compare features of one net.")
    if min(a.count, b.count) <= a.dim and min(a.count, b.count) > 1:
        few = f"{min(a.count, b.count)} images for {a.dim} features"
        warnings.warn(f"{few}: such a Fréchet distance is dominated by its bias; use more images.", stacklevel=2)
    return _distance(a.mean, a.cov, b.mean, b.cov)


def _distance(mean_a, cov_a, mean_b, cov_b):
    root = square_root(cov_a)
    product = root @ cov_b @ root
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    return ((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * overlap).clamp(min=0)


def square_root(matrix):
    """The symmetric root of a symmetric matrix (F, F) without negative eigenvalues (rounding's count as zero)."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_draws(a, b, resamples=100, seed=0, paired=True):
    """Bootstrap: Fréchet distances (resamples,) of sets drawn with replacement from features a (N, F) and b (M, F).

    paired: draw the same images of both, as for restored images and their originals (N = M).
    The draws hold repeated images, so they are *biased upwards* compared with the distance itself, as a smaller sample
    is; their spread is what one wants. See `frechet_interval`.
    """
    a, b = check(a), check(b)
    if a.shape[1] != b.shape[1] or (paired and len(a) != len(b)):
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ColdlabError(f"features have shapes {shapes}; one net, and for pairs one number of images, is needed.")
    generator = torch.Generator().manual_seed(seed)
    draws = []
    for _ in range(resamples):
        chosen = torch.randint(len(a), (len(a),), generator=generator)
        other = chosen if paired else torch.randint(len(b), (len(b),), generator=generator)
        draws.append(_distance(*_weighted(a, chosen), *_weighted(b, other)))
    return torch.stack(draws)


def _weighted(x, chosen):
    """Mean and covariance of x[chosen], through counts: nothing is copied."""
    counts = torch.bincount(chosen, minlength=len(x)).double()
    mean = counts @ x / len(chosen)
    centred = (x - mean) * counts.sqrt()[:, None]
    return mean, centred.T @ centred / (len(chosen) - 1)


def frechet_interval(a, b, level=0.95, resamples=100, seed=0, paired=True):
    """(low, high): how much the Fréchet distance of features a and b moves with the choice of the images.

    The bootstrap's quantiles, moved so that their mean is the measured distance: the plain ones would often not contain
    it. The interval speaks of the distance *at this number of images*; the bias of that number is in it, not beside it.
    """
    value = _distance(*_weighted(check(a), torch.arange(len(a))), *_weighted(check(b), torch.arange(len(b))))
    low, high = around(value, frechet_draws(a, b, resamples, seed, paired), level)
    return max(0.0, low), high


def around(value, draws, level=0.95):
    """(low, high): where the middle `level` of draws (resamples,) lies once their mean is moved to the measured value.

    For Fréchet distances and for differences of two of them, whose draws are biased.
    """
    ends = torch.tensor([1 - level, 1 + level]).double() / 2
    low, high = torch.quantile(draws - draws.mean() + value, ends).tolist()
    return low, high


def against_samples(a, b, sizes, repeats=5, seed=0, paired=False):
    """{n: distances (repeats,)}: the Fréchet distance of n images from features a to n images from b, drawn anew.

    Draws are without replacement, from a and b independently, or, if paired, the same images of both: restored images
    and their originals, as the paper compares them. Raises ColdlabError for an n above either set.
    """
    a, b = check(a), check(b)
    generator = torch.Generator().manual_seed(seed)
    if paired and len(a) != len(b):
        raise ColdlabError(f"sets of {len(a)} and {len(b)} images are no pairs; give one original per image.")
    found = {}
    for n in sizes:
        if not 2 <= n <= min(len(a), len(b)):
            raise ColdlabError(f"n = {n} images cannot be drawn from sets of {len(a)} and {len(b)}; n starts at 2.")
        every, distances = torch.arange(n), []
        for _ in range(repeats):
            chosen = torch.randperm(len(a), generator=generator)[:n]
            other = chosen if paired else torch.randperm(len(b), generator=generator)[:n]
            x, y = a[chosen], b[other]
            distances.append(_distance(*_weighted(x, every), *_weighted(y, every)))
        found[n] = torch.stack(distances)
    return found


def extrapolate(found):
    """(limit, slope) of the line limit + slope / n through the means of {n: distances}: the distance at n = infinity.

    Least squares over the sizes. Source: Chong and Forsyth 2020, "FID infinity", with plain instead of Sobol draws.
    Raises ColdlabError for fewer than two sizes.
    """
    if len(found) < 2:
        raise ColdlabError(f"{len(found)} size is no line; give the distance at two or more numbers of images.")
    y = torch.stack([torch.as_tensor(v, dtype=torch.float64).mean() for v in found.values()])
    x = torch.tensor([[1.0, 1 / n] for n in found], dtype=torch.float64)
    limit, slope = torch.linalg.lstsq(x, y[:, None]).solution.flatten().tolist()
    return limit, slope


def gaussian_bias(cov, n, m):
    """The mean Fréchet distance of n and m draws from *one* Gaussian of covariance cov (F, F), to first order.

    ``(1/n + 1/m) [5/4 tr C + 1/2 sum_ij l_i l_j / (l_i + l_j)]``, l the eigenvalues of C. For C = c I it is
    ``(1/n + 1/m) c F (F + 5) / 4``: with F features the bias grows as F^2, and falls as 1/n.
    """
    l = torch.linalg.eigvalsh(cov.double()).clamp(min=0)  # noqa: E741
    pairs = l[:, None] * l / (l[:, None] + l).clamp(min=torch.finfo(l.dtype).tiny)
    return (1 / n + 1 / m) * (1.25 * l.sum() + pairs.sum() / 2)


def check(features):
    """Features as float64 (N, F) on the CPU; raises ColdlabError for another shape and for NaN or infinity."""
    features = torch.as_tensor(features)
    if features.ndim != 2 or not features.is_floating_point():
        found = f"{features.dtype} of shape {tuple(features.shape)}"
        raise ColdlabError(f"features are {found}; they are floats of shape (images, features).")
    features = features.detach().cpu().double()
    bad = int((~features.isfinite()).any(1).sum())
    if bad:
        raise ColdlabError(f"the features of {bad} of {len(features)} images are not finite; look at those images.")
    return features
