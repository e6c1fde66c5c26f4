"""What is trained for the results: settings by name, and `trained`, which makes a run or goes on with it.

The idea that holds this file together: a run is its name. Whoever asks for mnist-blur gets the same settings, seed and
length, and a folder that was begun is only ever gone on with.
"""

import dataclasses
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from .. import checkpoints, presets
from ..errors import ColdlabError, unknown
from ..training import Config, start, train
from . import runs
from .machine import pick_device

SETS = {
    "digits": "Digits",
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "celeba": "CelebA",
}
TASKS = {"blur": "deblurring", "mask": "inpainting", "pixelate": "super-resolution"}


@dataclass(frozen=True)
class Experiment:
    """A network to be measured: the preset whose settings it has, how long it trains in full, what else it changes.

    seen, states: what its two figures show, for readers who do not see them: the rows of restored images, and
    Algorithm 2's states. brief: the results page mentions it only beside the other runs of its preset.
    A recipe with pretrained=NAME goes on from the network of that experiment.
    """

    preset: str
    steps: int
    recipe: dict = field(default_factory=dict)
    keep: tuple[int, ...] = ()  # steps whose weights are kept, to watch the network learn
    seen: str = "rows of test images: degraded, restored in several ways, and the originals."
    states: str = ""  # empty: the page leaves that figure out
    brief: bool = False

    @property
    def title(self):
        """Its data and its task in words: CelebA at 64 pixels, deblurring."""
        p = presets.preset(self.preset)
        size = f" at {p.size} pixels" if p.size != 32 else ""
        return f"{SETS.get(p.dataset, p.dataset)}{size}, {TASKS.get(p.degradation, p.degradation)}"

    def config(self, steps=None):
        """The training.Config of this experiment."""
        p = presets.preset(self.preset)
        config = Config(p.dataset, p.degradation, p.options, p.size, p.zoom, **self.recipe)
        return dataclasses.replace(config, steps=steps or self.steps)


# Masks: the paper rounds x_T to 8 bits there, since float32 would carry the hidden pixels at a millionth of their size.
LATE, FILES = dict(timestep_bias=2.0), dict(rounded=1.0)
# Nobody draws a digit where MNIST's stand. But where they stand is known of them, too, and half of the images keep it:
# a network that may not use it restores them a sixth worse (results/place-recipe.json).
MOVED = dict(shift=2, scale=0.1, slant=0.1, augmented=0.5)
# Patches of 4 x 4 colour pixels are 48 numbers, more than the first level's 32 channels let through: so what is sharp
# already goes around the network.
COLOUR = dict(timestep_bias=2.0, flip=True, rollout=0.25, residual=True)
# Behind a hole a sampler's states hold what R has guessed itself. Shown mostly true ones, R takes its own guesses for
# the truth and exaggerates them from call to call; so here it is shown none but those that a sampler makes.
# (results/mask-recipe.json). Nor is it shown zeros beyond the border, or left with the seams between its patches.
# Of MNIST's holes half of the states are true ones.
SMOOTH = dict(padding="replicate", refine=16)
HOLES = SMOOTH | dict(rollout=1.0, rollout_from_T=True)
# Over fifty calls the last little exaggeration adds up all the same: one step never shows it, several do.
FAR = dict(rollout_from_T=True, rollout_calls=4)
FACES = COLOUR | SMOOTH | dict(timestep_bias=1.0, rollout=0.5, rollout_from_T=True)
# The last pixel of a hole in the middle is one call's alone, and one of 4,096: with t uniform it stays a coloured dot.
MASKED_FACES = COLOUR | FILES | SMOOTH | FAR | dict(timestep_bias=1.0, rollout=0.5)
ROLLOUT = dict(rollout=0.25, batch=32, lr=2e-3)
PROGRESS = (100, 300, 1000, 3000, 10_000, 30_000)

EXPERIMENTS = {
    "digits-blur": Experiment("digits-blur", 2000, dict(rounded=0.2)),
    "mnist-blur-1000": Experiment("mnist-blur", 1000, ROLLOUT, brief=True),
    "mnist-blur": Experiment(
        "mnist-blur",
        20_000,
        LATE | MOVED,
        states="dark squares, blobs at t = 3, blurred digits at 1, digits at 0.",
    ),
    "mnist-blur-seed-1": Experiment("mnist-blur", 20_000, LATE | MOVED | dict(seed=1), brief=True),
    "mnist-blur-seed-2": Experiment("mnist-blur", 20_000, LATE | MOVED | dict(seed=2), brief=True),
    "mnist-blur-classes": Experiment("mnist-blur", 12_000, LATE | MOVED | dict(classes=10), brief=True),
    "mnist-blur-100000": Experiment("mnist-blur", 100_000, ROLLOUT, PROGRESS),
    "mnist-mask": Experiment(
        "mnist-mask",
        20_000,
        LATE | FILES | SMOOTH | dict(rollout=0.5, rollout_from_T=True),
        seen="grey discs hide a half of each digit; every way draws it to its end, Algorithm 1 with gaps and stray "
        "dots, Algorithm 2 with heavy strokes, the averaged sampler much like the original.",
        states="the grey discs shrink step by step, and strokes grow into them.",
    ),
    "mnist-pixelate": Experiment(
        "mnist-pixelate",
        20_000,
        LATE,
        seen="4 x 4 grey blocks become digits, clean and much alike by every way; last the originals.",
    ),
    "cifar10-blur": Experiment(
        "cifar10-blur",
        12_000,
        FACES | dict(timestep_bias=1.5),
        seen="clouds of colour become photographs, soft by every way, by Algorithm 1 with glaring colours and grain; "
        "last the originals.",
    ),
    "cifar10-mask-first": Experiment("cifar10-mask", 20_000, COLOUR | FILES | HOLES, brief=True),
    "cifar10-mask-second": Experiment(
        "cifar10-mask",
        6000,
        COLOUR | FILES | HOLES | dict(timestep_bias=0.6, rollout_calls=8, lr=1.5e-3, pretrained="cifar10-mask-first"),
        brief=True,
    ),
    "cifar10-mask": Experiment(
        "cifar10-mask",
        2500,
        COLOUR | FILES | HOLES | dict(timestep_bias=1.3, rollout_calls=8, lr=1e-3, pretrained="cifar10-mask-second"),
        seen="grey discs hide a part of each photograph; direct fills them softly, Algorithm 1 with black rings, "
        "Algorithm 2 with faint stains and a small dot, the averaged sampler softly again.",
        states="the discs over the photographs shrink step by step to faint stains with a small dot.",
    ),
    "cifar10-snow": Experiment("cifar10-snow", 3000, COLOUR),
    "cifar10-desaturate": Experiment("cifar10-desaturate", 3000, COLOUR),
    "cifar10-pixelate": Experiment(
        "cifar10-pixelate",
        12_000,
        COLOUR | SMOOTH,
        seen="4 x 4 blocks of colour become soft blobs, much the same by every way; last the originals.",
    ),
    "celeba-64-blur": Experiment(
        "celeba-64-blur",
        4000,
        FACES,
        seen="washes of colour become soft faces by one call, glaring shapes by Algorithm 1, faces with more contrast "
        "and smudged features by Algorithm 2, soft ones when its guesses are averaged; last the originals.",
        states="washes of colour, soft faces from t = 18 on, ones with more contrast and smudges at 0.",
    ),
    "celeba-64-mask-first": Experiment("celeba-64-mask", 1200, MASKED_FACES, brief=True),
    "celeba-64-mask": Experiment(
        "celeba-64-mask",
        2500,
        MASKED_FACES
        | dict(timestep_bias=0.5, rollout=1.0, rollout_calls=8, lr=1.5e-3, pretrained="celeba-64-mask-first"),
        seen="grey discs hide the faces; direct draws soft ones, Algorithm 1 glaring red and green ones, Algorithm 2 "
        "clear ones with eyes and mouths, the averaged sampler softer ones again; last the originals.",
        states="the discs shrink step by step, and faces grow into them.",
    ),
    "celeba-64-pixelate": Experiment(
        "celeba-64-pixelate",
        2500,
        COLOUR | SMOOTH,
        seen="8 x 8 blocks of colour become soft faces with eyes and smiles, much the same by every way; last the "
        "originals.",
    ),
}

# Networks to generate with, beside those above: their restorations are not judged. Noise is hot diffusion, flat blur
# ends in one colour; the faces' sees x_t alone, as the paper's does, since an inverse would take noise for an image.
GENERATORS = {
    "mnist-noise": Experiment("mnist-noise", 9000, dict(loss="l2")),
    "mnist-noise-1500": Experiment("mnist-noise", 1500, dict(loss="l2")),  # what the loss is worth, at little cost
    "mnist-noise-1500-l1": Experiment("mnist-noise", 1500),
    "mnist-flatblur": Experiment("mnist-flatblur", 9000),
    "celeba-64-flatblur": Experiment("celeba-64-flatblur", 4000, dict(flip=True, residual=True, precondition=False)),
}

# One network for each transform of chapter 8, all by one recipe; R sees x_t alone, so that no D has a head start.
ALIKE = dict(precondition=False, residual=True, flip=True, refine=16)
TRANSFORMS = {
    f"transforms-{name}": Experiment(preset, 1500, ALIKE)
    for name, preset in {
        "blur": "cifar10-blur",
        "pixelate": "cifar10-pixelate",
        "mask": "cifar10-mask",
        "fade": "cifar10-fade",
        "desaturate": "cifar10-desaturate",
        "snow": "cifar10-snow",
        "desaturate+snow": "cifar10-desaturate+snow",
        "noise": "cifar10-noise",
        "animorph": "cifar10-animorph",
        "faces-into-digits": "celeba-32-animorph",
    }.items()
}

# How the default was found: the same work for each trial (lab/recipe.py), one letter for each, and what it changes.
RECIPE = "recipe"
LARGE, LATER, TWO = dict(batch=128, lr=4e-3), dict(timestep_bias=4.0), dict(attention=(1, 2))
RECIPES = {
    f"{RECIPE}-{letter}": Experiment("mnist-blur", steps, settings, seen=told)
    for letter, steps, settings, told in (
        ("A", 714, LARGE | TWO, "attention on two levels, uniform t, batches of 128, rate 0.004"),
        ("B", 714, LARGE | LATER | TWO, "A, t as the largest of four draws"),
        ("C", 136, LARGE | LATER | dict(width=64, mults=(1, 2)), "D, twice as wide, two levels"),
        ("D", 756, LARGE | LATER, "B without attention"),
        ("E", 209, LARGE | LATER | dict(patch=2), "D, 2 x 2 pixels folded in place of 4 x 4"),
        ("J", 756, LARGE | LATE, "D, t as the larger of two draws"),
        ("K", 355, LARGE | LATE | dict(width=48), "J, half as wide again"),
        ("N", 756, LARGE | LATE | dict(lr=2e-3), "J, rate 0.002"),
        ("H", 756, LARGE | LATE | dict(lr=8e-3), "J, rate 0.008"),
        ("G", 1512, LATE, "J, batches of 64, rate 0.003"),
        ("P", 1624, LATE | dict(precondition=False), "G without the inverse"),
    )
}


def experiment(name):
    """The experiment called `name`; an unknown one raises with the list."""
    known = EXPERIMENTS | GENERATORS | TRANSFORMS | RECIPES
    if name not in known:
        raise unknown("experiment", name, known)
    return known[name]


def trained(name, budget="full", device=None, out=None):
    """Train the experiment `name`, or go on with it; returns the run's folder: `out`, or runs/NAME.

    budget: "full", or the time to train as 2m or 30m: the steps that fit are measured first. Raises ColdlabError for an
    unknown name or budget, and where `out` holds a run of other settings.
    """
    what, seconds = experiment(name), seconds_of(budget)
    out = Path(out or f"runs/{suffixed(name, budget)}")
    asked = what.config()
    if first := asked.pretrained:
        asked = dataclasses.replace(asked, pretrained=suffixed(first, budget))
    if not checkpoints.states(out):
        if first:
            before = out.with_name(asked.pretrained)
            if checkpoints.states(before) or not (before / "model.safetensors").exists():
                trained(first, budget, device, before)
        config = asked if seconds is None else fitting(asked, seconds, device)
        named = [field.name for field in dataclasses.fields(config)]
        runs.run(config, out, device=device, options=options(config, what), named=named)
        return out
    _, state, config = checkpoints.newest_state(out)
    if dataclasses.replace(config, steps=1, channels=None) != dataclasses.replace(asked, steps=1):
        raise ColdlabError(f"{out} holds a run of other settings than {name}; choose another --out.")
    if seconds is None and config.steps != what.steps:
        raise ColdlabError(
            f"{out} is a run of {config.steps} steps and {name} takes {what.steps}; choose another --out."
        )
    if state.step < config.steps:
        runs.run(Config(), out, resume=True, device=device, options=options(config, what))
    return out


def suffixed(name, budget):
    """The name of a run: mnist-blur, or mnist-blur-2m with a budget."""
    return name if budget == "full" else f"{name}-{budget}"


def options(config, what):
    every = max(1, min(1000, config.steps // 10))
    return runs.Options(save_every=every, log_every=max(1, every // 10), keep=what.keep)


def seconds_of(budget):
    """None for "full", 120 for "2m"."""
    if budget == "full":
        return None
    if not re.fullmatch(r"[1-9]\d{0,4}m", budget):
        raise ColdlabError(f"--budget {budget}; write full, or minutes such as 2m or 30m.")
    return 60 * int(budget[:-1])


def fitting(config, seconds, device=None):
    """The config with as many steps as `seconds` allow at the speed of a few tried ones."""
    return dataclasses.replace(config, steps=max(25, int(seconds / seconds_a_step(config, pick_device(device)))))


def seconds_a_step(config, device):
    """The seconds that one step of a run takes here: five steps are taken to warm up, the next twenty are timed."""
    config, images = runs.prepare(dataclasses.replace(config, steps=sys.maxsize))
    D, state = start(config, device)
    images, clock = runs.place(images[:10_000], device), None
    for step, loss in train(state, D, images, config):
        if step in (5, 25):
            loss.item()  # waits for the device
            if clock is not None:
                break
            clock = time.perf_counter()
    return (time.perf_counter() - clock) / 20
