"""Where different degradations leave equally much of an image, and one network for all of them (chapter 9).

The idea that holds this file together: severities of different degradations are comparable where the best *linear*
estimate of the image is equally wrong. The network is shown that estimate beside x_t, so that what it takes off the
linear error is what it knows of images beyond their mean and covariance.
"""

import torch
from tqdm import tqdm

from .. import metrics
from ..data import to_float, to_unit
from ..degradations import FLOAT32
from ..training import State, seed_of, train
from ..unet import UNet
from .baselines import gain, seen

STEP = 2 / 255  # between two levels of an 8-bit file, in [-1, 1]
FILE, FLOAT = "8 bits", "float32"
ROUNDING = {FILE: STEP / 12**0.5, FLOAT: FLOAT32}  # standard deviation of what is wrong with a pixel of x_t


def rounded(x, how):
    """x as an 8-bit file's levels, continued beyond [-1, 1] (a noisy image leaves it); "float32" leaves it as it is."""
    return x if how == FLOAT else ((x + 1) / STEP).round() * STEP - 1


def moments(images, most=10_000):
    """(mean (n,), covariance (n, n)) of the pixels of uint8 grey images, float64, from at most so many of them."""
    x = to_float(images[:: max(1, len(images) // most)]).double().flatten(1)
    return x.mean(0), x.T.cov()


def observed(D, t):
    """(A, b): what D shows at t, x_t = A x0 + b n with n ~ N(0, I); A (n, n) float64, b = 0 unless D is noise."""
    return seen(D, t, torch.eye(D.size**2, dtype=torch.float64)).T, spread(D, t)


def spread(D, t):
    """b of `observed`."""
    if not D.needs_z:
        return 0.0
    black = torch.zeros(1, 1, D.size, D.size, dtype=torch.float64)
    return D(black, t, torch.ones_like(black)).flatten()[0].item()


def wiener(D, t, mean, cov, sigma):
    """(G, c, rmse) of the best linear estimate x0_hat = G x_t + c: G = S A^T (A S A^T + (b^2 + sigma^2) I)^-1.

    mean, cov: of the images, S = cov (`moments`). sigma: standard deviation of the rounding of x_t. rmse: the expected
    error, in units of [0, 1]. Source: Wiener 1949, for images of any covariance.
    """
    G, product = gain(D, t, cov, spread(D, t) ** 2 + sigma**2)
    left = cov.trace() - (G * product.mT).sum()  # of the variance
    return G, mean - G @ seen(D, t, mean), (left.clamp(min=0) / len(mean)).sqrt().item() / 2


class Linear:
    """The best linear estimate at every severity: `linear(x_t, t)`; `linear.rmse[t]` is its expected error."""

    def __init__(self, D, mean, cov, how):
        identity = (torch.eye(len(mean), dtype=cov.dtype), torch.zeros_like(mean), 0.0)
        severities = tqdm(range(1, D.T + 1), "linear estimates", leave=False, disable=None)
        found = [identity, *(wiener(D, t, mean, cov, ROUNDING[how]) for t in severities)]
        G, c, self.rmse = zip(*found, strict=True)
        self.tables = {torch.float64: (torch.stack(G), torch.stack(c))}
        self.tables[torch.float32] = tuple(table.float() for table in self.tables[torch.float64])

    def __call__(self, x, t):
        G, c = self.tables[x.dtype]
        if not torch.is_tensor(t):
            return (x.flatten(1) @ G[t].T + c[t]).reshape(x.shape)
        out = torch.empty_like(x)
        for s in t.unique().tolist():
            out[t == s] = self(x[t == s], s)
        return out

    def __deepcopy__(self, memo):
        return self  # a table, not a weight


class Guided(torch.nn.Module):
    """R(x_t, t) = net([x_t, the best linear estimate], t), where net says what to add to the estimate."""

    wide = True  # in use the estimate is taken in float64: a blur's inverse amplifies what float32 rounds off

    def __init__(self, net, linear):
        super().__init__()
        self.net, self.linear = net, linear

    def forward(self, x, t):
        x = x if self.training else x.double()
        return self.net(torch.cat([x, self.linear(x, t)], 1), t)


class Filed:
    """D as training sees it: x_t through a file. (Samplers take D itself; only what they start from is rounded.)"""

    def __init__(self, D, how):
        self.D, self.how, self.T, self.draw = D, how, D.T, D.draw

    def __call__(self, x0, t, z=None):
        return rounded(self.D(x0, t, z), self.how)


def build(linear, width, seed=0):
    """The network of every arm, with random weights from the seed.

    It begins as the linear estimate itself. What is left to learn is no linear function of what the network is shown:
    one that begins with an answer of its own first unlearns it, and then stays at the estimate for hundreds of steps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "weights"))
        net = UNet(1, width, (1, 1, 2), inputs=2, attention=(), patch=4, residual=True, refine=8)
    torch.nn.init.zeros_(net.out.weight), torch.nn.init.zeros_(net.out.bias)
    return Guided(net.to(memory_format=torch.channels_last), linear)


def learn(D, how, linear, images, config):
    """The averaged weights of a new network, as R, after config.steps on uint8 images."""
    R = build(linear, config.width, config.seed)
    ema = build(linear, config.width, config.seed).requires_grad_(False).eval()
    state = State(R, ema, torch.optim.AdamW(R.parameters(), lr=config.lr, weight_decay=0.0, fused=True))
    steps = train(state, Filed(D, how), images, config)
    for _ in tqdm(steps, config.degradation, config.steps, leave=False, disable=None, mininterval=10):
        pass
    return state.ema


def degraded(D, how, x0, t, seed=0):
    """(x_t as it comes, z) of a batch x0; z from the seed."""
    z = D.draw(x0, torch.Generator().manual_seed(seed))
    return rounded(D(x0.double(), t, z), how).to(x0.dtype), z


@torch.no_grad()
def restored(R, D, how, images, t):
    """{"degraded", "linear", "network", "original": images in [0, 1]} from severity t, by one call of R."""
    x0 = to_float(images)
    x, _ = degraded(D, how, x0, t)
    rows = {"degraded": x, "linear": R.linear(x.double(), t)}
    rows["network"] = torch.cat([R(part, t) for part in x.split(100)])
    return {name: to_unit(row.float()) for name, row in (rows | {"original": x0}).items()}


def judged(rows):
    """{"linear", "network": {"rmse", "ssim"}} of the rows of `restored`."""
    measures = {"rmse": metrics.rmse, "ssim": metrics.ssim}
    return {
        row: {name: measure(rows[row], rows["original"]).item() for name, measure in measures.items()}
        for row in ("linear", "network")
    }


def nearest(errors, level):
    """The severity t >= 1 at which the expected linear error lies nearest to the level."""
    return min(range(1, len(errors)), key=lambda t: abs(errors[t] - level))
