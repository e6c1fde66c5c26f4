"""Training R to undo D: min over R of E |R(D(x0, t, z), t) - x0|, t uniform in 1..T (paper, eq. 1).

The idea that holds this file together: everything random in a step is a function of (seed, rank, step). A run that was
stopped and resumed therefore repeats the uninterrupted one bit for bit, with no generator's state to save.
"""

import copy
import functools
import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch

from .data import eight_bits, to_float
from .data.batches import augment, fetch
from .degradations import EIGHT_BITS, FLOAT32, each, make
from .errors import ColdlabError, unknown
from .unet import Preconditioned, UNet, device_of, tellable, told

LOSSES = {"l1": torch.nn.functional.l1_loss, "l2": torch.nn.functional.mse_loss}
LARGEST = 1.0  # norm of a gradient: one bad batch in 100,000 must not throw the weights away


@dataclass(frozen=True)
class Config:
    """What a run is: data, degradation, network and recipe. It travels inside every checkpoint."""

    dataset: str = "digits"
    """digits, mnist, fashion-mnist, cifar10, celeba, or a folder or zip of your own images."""
    degradation: str = "blur"
    """What to undo: see `python -m coldlab degradations`. Two joined by + are composed: blur+mask."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of the degradation, such as T=40 std=5.0, or blur.T=40 of a part; the preset's where there is one."""
    size: int | None = None
    """Side of the images in pixels. By default the preset's, else that of the data."""
    zoom: float | None = None
    """Resize to zoom x size, then cut the centre. By default the preset's, else 1: plain resizing."""
    channels: int | None = None
    """Filled in from the data: 1 for grey images, 3 for colour."""
    width: int = 32
    """Channels of the network's first level. The paper: 64."""
    mults: tuple[int, ...] = (1, 1, 2)
    """Channels of each level, as multiples of width. The paper: 1 2 4 8."""
    attention: tuple[int, ...] = ()
    """Levels with attention, counted from 0. The paper: all of them."""
    patch: int = 4
    """Fold patch x patch pixels into channels before the network. The paper: 1."""
    residual: bool = False
    """Let the network predict what to add to D's inverse, or to x_t where there is none, instead of the image."""
    precondition: bool = True
    """Show the network D's regularised inverse beside x_t, where D has one. The paper: no."""
    padding: str = "zeros"
    """What the network's convolutions see beyond the border: zeros (the paper), replicate, reflect or circular."""
    classes: int = 0
    """Tell the network which of so many classes an image is of, as the data's labels say; 0: tell it nothing."""
    unlabelled: float = 0.1
    """Share of the images whose class is kept from it, so that it also restores without (classifier-free guidance)."""
    refine: int = 0
    """Channels of two last convolutions on single pixels, which smooth the seams between patches; 0: without."""
    steps: int = 1000
    """Steps in all; the learning rate falls to zero at the last."""
    batch: int = 64
    """Images per step, over all processes together."""
    lr: float = 3e-3
    """Learning rate of AdamW, before warm-up and decay multiply it."""
    warmup: int = 50
    """Steps over which the learning rate rises."""
    loss: str = "l1"
    """l1 (the paper's: R tends to the median of what fits) or l2 (the mean)."""
    ema: float = 0.995
    """Decay of the averaged weights, the ones that are kept."""
    timestep_bias: float = 1.0
    """How much late severities are favoured: t is the largest of so many uniform draws from 1..T. The paper: 1."""
    rollout: float = 0.0
    """Self-rollout: share of images that R sees as Algorithm 2 leaves them, one step on from a later t. Paper: 0."""
    rollout_from_T: bool = False
    """Let those images come down from T, where samplers begin, in place of a later t that is drawn at random."""
    rollout_calls: int = 1
    """Steps in which those images come down: from 2 on, by severities drawn in between, so that R's errors add up."""
    shift: int = 0
    """Move each image by up to so many pixels at random; its borders repeat."""
    scale: float = 0.0
    """Enlarge or shrink each image by up to this share of its size at random."""
    slant: float = 0.0
    """Slant each image by up to so many pixels per row at random, as handwriting leans."""
    augmented: float = 1.0
    """Share of the images that shift, scale and slant change; the others stay where they are."""
    flip: bool = False
    """Mirror half of the images: for faces and animals, not for digits and letters."""
    rounded: float = 0.0
    """Share of the images that are rounded to 8 bits after D, so that R also restores from PNG and JPEG files."""
    held_out: int = 1000
    """Training images set aside to choose the weights that are kept: at most a tenth; 0 keeps the last weights."""
    pretrained: str | None = None
    """Begin with the weights and settings (but steps, seed) of this network: a name, a file, or a run's folder."""
    seed: int = 0
    """Seed of the weights and of every batch."""


@dataclass
class State:
    """What a run has come to: R, the average of its weights, the optimiser, the steps taken, the best loss so far."""

    R: torch.nn.Module
    ema: torch.nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    best: float = float("inf")  # the lowest loss on held-out images, at a checkpoint
    parallel: torch.nn.Module | None = None  # R as several processes train it together (DistributedDataParallel)
    first_bad: torch.Tensor | None = None  # on the device: the first step with a loss that is no number


def build(config):
    """(D, R) of a config whose size and channels are known; R has random weights drawn from config.seed."""
    D = make(config.degradation, config.size, **config.options)
    sample = torch.zeros(1, config.channels, config.size, config.size)
    invertible = config.precondition and D.inverse(sample, D.T) is not None
    maps = invertible and D.left(sample, D.T, D.draw(sample)) is not None
    before = torch.get_rng_state()  # building a network must not change the caller's random numbers
    torch.default_generator.manual_seed(config.seed)
    net = UNet(
        config.channels,
        config.width,
        config.mults,
        inputs=config.channels * (2 if invertible else 1) + maps,
        attention=config.attention,
        patch=config.patch,
        residual=config.residual,
        classes=config.classes or None,
        padding=config.padding,
        refine=config.refine,
    )
    torch.set_rng_state(before)
    return D, Preconditioned(net, D) if invertible else net


def start(config, device="cpu"):
    """(D, State) at step 0 on `device`. Raises ColdlabError for settings that cannot be."""
    if config.loss not in LOSSES:
        raise unknown("loss", config.loss, LOSSES)
    for name in ("steps", "batch", "patch", "lr", "timestep_bias", "rollout_calls"):
        if not 0 < getattr(config, name) < float("inf"):
            raise ColdlabError(f"{name} = {getattr(config, name)}; it must be a number above 0.")
    for name in ("rollout", "rounded", "augmented", "unlabelled"):
        if not 0 <= getattr(config, name) <= 1:
            raise ColdlabError(f"{name} = {getattr(config, name)}; it is a share, from 0 to 1.")
    D, R = build(config)
    D, R = D.to(device), R.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(R.parameters(), lr=config.lr, weight_decay=0.0, fused=True)
    ema = copy.deepcopy(R).requires_grad_(False).eval()
    if isinstance(R, Preconditioned):
        ema.D = D  # its tables once, not twice
    return D, State(R, ema, optimizer)


def train(state, D, images, config, rank=0, ranks=1, among=None, labels=None):
    """Take steps until config.steps; yields (step, loss) after each. The loss stays on the device: reading it waits.

    images: uint8 (N, C, H, W) on the device of the network, or in host memory, from where each batch is copied while
    the device works. rank, ranks: which of how many processes this is; each takes its share of config.batch, and
    state.parallel averages their gradients. among: the numbers of the images to choose from (see `split`), by default
    all. labels: (N,) long, for a config with classes, which without them learns to restore whatever fits. Only the
    average state.ema is meant for use.
    """
    parameters, averages = list(state.R.parameters()), list(state.ema.parameters())
    device, R = averages[0].device, state.parallel or state.R
    if state.first_bad is None:
        state.first_bad = torch.full((), torch.inf, device=device)
    while state.step < config.steps:
        pick = torch.Generator().manual_seed(seed_of(config.seed, rank, state.step, "images"))
        draw = torch.Generator(device).manual_seed(seed_of(config.seed, rank, state.step))
        chosen = torch.randint(len(images if among is None else among), (config.batch // ranks,), generator=pick)
        chosen = chosen if among is None else among[chosen]
        x0 = augment(to_float(fetch(images, chosen, device)), config, draw)
        label = None
        if labels is not None:
            kept = torch.rand(len(x0), generator=draw, device=device) >= config.unlabelled
            label = torch.where(kept, labels[chosen].to(device), -1)
        loss = loss_of(R, D, x0, config, draw, label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, LARGEST)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)

        decay = min(config.ema, (1 + state.step) / (10 + state.step))  # early averages forget the random start
        with torch.no_grad():
            torch._foreach_lerp_(averages, parameters, 1 - decay)
        state.step += 1
        loss = loss.detach()
        bad = torch.where(loss.isfinite(), torch.inf, float(state.step))
        state.first_bad = torch.minimum(state.first_bad, bad)
        yield state.step, loss


def loss_of(R, D, x0, config, draw, label=None):
    """|R(D(x0, t, z), t) - x0|, averaged over a batch with t, z and rounding from the generator `draw`.

    label: (B,) long, -1 for images whose class R is not told; None where it has no classes.

    A share config.rollout of the states comes from an s >= t by config.rollout_calls steps of Algorithm 2, R's own
    errors included.
    """
    B, device = len(x0), x0.device
    u = torch.rand(B, generator=draw, device=device)
    t = (D.T * u ** (1 / config.timestep_bias)).ceil().clamp(1, D.T).long()  # T included
    z, s, known = D.draw(x0, draw), t.clone(), {}
    if own := round(config.rollout * B):
        later = (t + (D.T - t) * torch.rand(B, generator=draw, device=device)).ceil().long()
        s[:own] = D.T if config.rollout_from_T else later[:own]
    x = D(x0, s, z)
    if config.rounded:
        coarse = torch.rand(B, generator=draw, device=device) < config.rounded
        x = torch.where(coarse[:, None, None, None], eight_bits(x), x)
        known["eps"] = torch.where(coarse, EIGHT_BITS, FLOAT32)
    if getattr(D, "blind", False) and (own or tellable(R)):  # D may be anybody's; no other R asks
        known["z"] = z = D.infer(x, None, s)  # R and the samplers know no better
    if own:
        R_own = knowing(R, known, label, slice(own))
        x_own, s, r, z_own = x[:own], s[:own], t[:own], each(lambda v: v[:own], z)
        for left in reversed(range(config.rollout_calls)):
            fall = torch.rand(own, generator=draw, device=device) if left else torch.ones(own, device=device)
            down = (s - (s - r) * fall).ceil().long()  # anywhere between, and at last where it was bound for
            x_own, s = step_down(R_own, D, x_own, s, down, z_own), down
        x = torch.cat([x_own, x[own:]])
    x0_hat = predicted(knowing(R, known, label), x, t)
    return LOSSES[config.loss](x0_hat, x0)


def knowing(R, known, label, part=slice(None)):
    """R told what is known of a part of a batch: its latents and precision (`told`), and its classes."""
    R = told(R, **{name: value[part] for name, value in known.items()}) if known else R
    return R if label is None else functools.partial(R, label=label[part])


@torch.no_grad()
def step_down(R, D, x, s, t, z):
    """Where one step of Algorithm 2 leads from x at severity s to t <= s; s, t (B,)."""
    x0_hat = predicted(R, x, s)
    return x - D(x0_hat, s, z) + D(x0_hat, t, z)


def predicted(R, x, t):
    """R(x, t) in float32, computed in bfloat16 where that pays."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16_pays(x.device)):
        return R(x, t).float()


@torch.no_grad()
def validate(R, D, images, config, labels=None):
    """The loss on held-out images uint8 (N, C, H, W), always at the same t and z, as a float (NaN without images)."""
    if not len(images):
        return float("nan")
    device, total = device_of(R), 0.0
    draw = torch.Generator(device).manual_seed(seed_of(config.seed, "held out"))
    told_of = [None] * len(images) if labels is None else labels.to(device).split(256)
    for chunk, label in zip(images.split(256), told_of, strict=False):
        total += loss_of(R, D, to_float(chunk.to(device)), config, draw, label) * len(chunk)
    return float(total / len(images))


def check_finite(state):
    """Raise if a loss or a weight is NaN or infinite. It reads the device: call it where you look anyway."""
    step = torch.inf if state.first_bad is None else state.first_bad.item()
    if step == torch.inf and not torch.stack(torch._foreach_norm(list(state.R.parameters()))).isfinite().all():
        step = state.step
    if step < torch.inf:
        raise ColdlabError(
            f"the loss was not a number at step {int(step)}; training stopped. "
            "The checkpoints before it are whole; start a new run with a lower --lr."
        )


def learning_rate(config, step):
    """Linear warm-up to config.lr, then a cosine to zero at config.steps."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    return config.lr * warm * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / config.steps)).item())


def seed_of(*numbers):
    """One 32-bit seed from several numbers (neighbouring seeds must not give related streams, so they are hashed)."""
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=4).digest(), "little")


def bfloat16_pays(device):
    """Whether R runs in bfloat16: on GPUs that have it, and do not emulate it at a loss as Colab's T4 does.

    On a CPU with instructions for it (AMX) the default network trained 0.80 times as fast as in float32, the paper's
    1.15 times (results/bfloat16-cpu.json), on one with avx512_bf16 compiled 1.14 times (speed-cpu.json); float32
    everywhere makes one CPU's numbers comparable with another's.
    """
    return torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
