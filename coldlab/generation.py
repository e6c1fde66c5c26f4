"""New images: draw what survives D_T, write it back as x_T, and let Algorithm 2 restore an image that never was.

The idea that holds this file together: one x_T gives one image, so all variety must come from x_T, and x_T is only as
varied as the numbers that survive D_T. For the paper's MNIST blur they are nine. A Gaussian mixture knows them well.
"""

import sys
import warnings
from dataclasses import dataclass
from functools import cached_property

import torch
from tqdm import tqdm

from .data import to_float
from .degradations import FLOAT32, Separable, each
from .errors import ColdlabError
from .sampling import improved
from .unet import device_of

FLOOR = FLOAT32  # a number weaker than this, relative to the image, is lost in the rounding of float32
MOST = 256  # numbers of an image, over its channels, that a mixture with full covariances can still learn
ENOUGH = 20_000  # images for a mixture
COMPONENTS = (1, 2, 5, 10, 20, 40)  # Gaussians to choose among
LEAST = 10  # images for each of them; numbers of Gaussians that need more images than there are do not come in
PER_GAUSSIAN = 250  # images for each of them where nothing is tried: what `sample` takes


@dataclass(frozen=True)
class Survivors:
    """The numbers of an image that D_t leaves: c_k = <x0, V_k>, with gains g_k, so that x_t = sum_k g_k c_k U_k.

    A_t = U diag(g) V^T is the singular value decomposition of D's matrix; k runs over the pairs (i, j) of its
    directions with g_i g_j > floor, strongest first, `keep` of them if given (1: the mean alone, for a blur with
    circular borders). Each channel has its own. Raises ColdlabError where D is no blur or pixelation.
    """

    D: Separable
    t: int
    keep: int | None = None
    floor: float = FLOOR

    def __post_init__(self):
        if not isinstance(self.D, Separable):
            name = type(self.D).__name__
            raise ColdlabError(f"what survives {name} is no short list of numbers; this needs a blur or a pixelation.")
        if self.keep is not None and self.keep < 1:
            raise ColdlabError(f"keep = {self.keep}; at least 1 number must be kept.")

    @cached_property
    def pairs(self):
        """(rows, columns, gains): which pairs of singular directions survive, strongest first; gains in float64."""
        g = self.D.gains[self.t]
        gains = (g[:, None] * g).flatten().cpu()
        order = gains.argsort(descending=True, stable=True)[: int((gains > self.floor).sum())][: self.keep]
        return order // len(g), order % len(g), gains[order]

    def __len__(self):
        """How many numbers survive per channel."""
        return len(self.pairs[0])

    def read(self, x0):
        """Images (B, C, H, W) in [-1, 1] -> their surviving numbers (B, C, K), float64, before the gains."""
        i, j, _ = self.pairs
        Vt = self.directions("Vt").to(x0.device)
        return (Vt @ x0.double() @ Vt.mT)[:, :, i, j]

    def write(self, c):
        """Numbers (B, C, K) -> the x_t (B, C, H, W), float32, that an image with these numbers has."""
        i, j, gains = self.pairs
        inner = torch.zeros(*c.shape[:2], self.D.size, self.D.size, dtype=torch.float64)
        inner[:, :, i, j] = c.double() * gains
        U = self.directions("U")
        return (U @ inner @ U.mT).float()

    def directions(self, name):
        self.D.decompose()
        return self.D.exact[name][self.t]


@dataclass(frozen=True)
class Prior:
    """A Gaussian mixture over what survives: `sample` draws x_t."""

    survivors: Survivors
    mixture: object  # sklearn.mixture.GaussianMixture over (C K) numbers
    tried: dict  # components -> log-likelihood of a held-out image, their mean; empty where only one number was tried

    @property
    def D(self):
        return self.survivors.D

    @property
    def t(self):
        return self.survivors.t

    def sample(self, count, seed=0, temperature=1.0):
        """(x_t, None): `count` starts in float32, the same for the same seed. D needs no z.

        temperature: how far draws lie from the middle of their Gaussian; 1 is the mixture itself, 0 its means alone.
        """
        self.mixture.random_state = seed % 2**32
        drawn, component = self.mixture.sample(count)  # component after component
        means = self.mixture.means_[component]
        drawn = torch.from_numpy(means + temperature * (drawn - means))
        drawn = drawn[torch.randperm(count, generator=torch.Generator().manual_seed(seed))]
        return self.survivors.write(drawn.reshape(count, -1, len(self.survivors))), None


def fit(D, images, t=None, keep=None, components=COMPONENTS, seed=0):
    """The Prior of uint8 images (N, C, H, W): a mixture of full-covariance Gaussians over what survives D_t (t = T).

    keep: how many numbers per channel, the strongest; None takes all that survive, if they are at most 256 in all.
    components: how many Gaussians, or several such numbers; of those the one is taken under which held-out images (a
    fifth, not fitted to) are likeliest, and fitted again to all images. Numbers that leave fewer than ten images for a
    Gaussian are dropped; a ColdlabError says so where none is left. The paper: keep=1 and a single Gaussian.
    Of more than 20,000 images, every so many-th is used: a mixture needs no more, and would take minutes.
    """
    from sklearn.mixture import GaussianMixture

    survivors = Survivors(D, D.T if t is None else t, keep)
    if keep is None and (found := len(survivors) * images.shape[1]) > MOST:
        told = f"{found} numbers survive and a mixture learns at most {MOST}; the weaker ones are left out"
        warnings.warn(f"{told}, so the starts are not quite like real ones.", stacklevel=2)
        survivors = Survivors(D, survivors.t, MOST // images.shape[1])
    images = images[:: -(-len(images) // ENOUGH)]
    c = torch.cat([survivors.read(to_float(chunk)) for chunk in images.split(1024)]).flatten(1)
    asked = (components,) if isinstance(components, int) else tuple(components)
    allowed = [k for k in asked if 1 <= k <= len(c) // LEAST]
    if not allowed:
        found = f"{len(c)} images for {min(asked)} Gaussians"
        raise ColdlabError(f"{found}; a mixture takes at least ten for each, and at least one Gaussian.")
    held, tried = torch.arange(len(c)) % 5 == 0, {}
    if len(allowed) > 1:
        for k in tqdm(allowed, "mixtures", leave=False, disable=not sys.stderr.isatty()):
            tried[k] = float(GaussianMixture(k, random_state=seed).fit(c[~held].numpy()).score(c[held].numpy()))
    best = max(tried, key=tried.get) if tried else allowed[0]
    return Prior(survivors, GaussianMixture(best, random_state=seed).fit(c.numpy()), tried)


@dataclass(frozen=True)
class Latent:
    """Where D_T leaves nothing of x0 (noise, fade, animorph) all variety lies in z: x_T = D(x0, T, z), whatever x0."""

    D: torch.nn.Module
    images: torch.Tensor  # uint8, for a z that is drawn from images (animorph)

    def __post_init__(self):
        x0 = to_float(self.images[:2])
        z = self.D.draw(x0, torch.Generator().manual_seed(0)) if self.D.needs_z else None
        left = (self.D(x0, self.D.T, z) - self.D(-x0, self.D.T, z)).abs().max()
        if left > 0.1:
            name = type(self.D).__name__
            raise ColdlabError(f"{name} at T leaves much of the image, so there is no simple law of x_T to draw from.")

    @property
    def t(self):
        return self.D.T

    def sample(self, count, seed=0, temperature=1.0):
        """(x_T, z), the same for the same seed. Temperatures other than 1 are for mixtures."""
        if temperature != 1:
            raise ColdlabError(f"temperature = {temperature}; only a mixture's starts have one, leave it at 1.")
        draw = torch.Generator().manual_seed(seed)
        chosen = torch.randint(len(self.images), (count,), generator=draw)
        x0 = to_float(self.images[chosen])
        z = self.D.draw(x0, draw)
        return self.D(torch.zeros_like(x0), self.D.T, z), z


def prior_of(D, images, t=None, keep=None, components=COMPONENTS, seed=0):
    """The law of x_T that D has: `fit` for a blur or pixelation, `Latent` where D_T forgets x0; else an error."""
    return fit(D, images, t, keep, components, seed) if isinstance(D, Separable) else Latent(D, images)


def starts(prior, count, seed=0, sigma=0.0, temperature=1.0):
    """(x, z): `count` states at severity prior.t, and D's latents or None.

    sigma: white noise added to x, in the units of [-1, 1] (the paper's broken symmetry: 0.002 at x_T). temperature:
    below 1 the starts keep closer to the middle of their Gaussian, more typical and less varied. seed: of all draws.
    Raises ColdlabError for count < 1 and for negative sigma or temperature.
    """
    if count < 1 or sigma < 0 or temperature < 0:
        told = f"count = {count}, sigma = {sigma}, temperature = {temperature}"
        raise ColdlabError(f"{told}; count is 1 or more, the others are not negative.")
    x, z = prior.sample(count, seed, temperature)
    return x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)), z


def walk(R, prior, x, z=None, severities=None, fixed=False, sampler=improved):
    """The sampler, by default Algorithm 2, from the starts (x, z): yields (r, x_r, x0_hat).

    severities: from prior.t to 0, by default every one.

    fixed: keep the z that was drawn; by default it is estimated anew at each step where D can (for noise that is DDIM).
    """
    latent = prior.D.infer if hasattr(prior.D, "infer") and not fixed else z
    return sampler(R, prior.D, x, latent, range(prior.t, -1, -1) if severities is None else severities)


def generate(R, prior, count, seed=0, sigma=0.0, temperature=1.0, severities=None, fixed=False, batch=256,
             sampler=improved):  # fmt: skip
    """`count` new images (count, C, H, W), float32 in about [-1, 1]. Arguments as in `starts` and `walk`.

    batch: images at once; it changes the time, not the images. Source: the paper, section 5.2.
    """
    (x, z), device, done = starts(prior, count, seed, sigma, temperature), device_of(R), []
    parts = torch.arange(count).split(batch)
    for part in tqdm(parts, "generate", leave=False, disable=len(parts) == 1 or not sys.stderr.isatty()):
        latent = each(lambda v, part=part: v[part].to(device), z)
        *_, (_, images, _) = walk(R, prior, x[part].to(device), latent, severities, fixed, sampler)
        done.append(images.cpu())
    return torch.cat(done)
