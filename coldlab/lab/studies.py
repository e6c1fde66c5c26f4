"""How well cold diffusion generates: attempt by attempt, on digits and on faces, each judged in the same way.

The idea that holds this file together: an attempt is what it changes: where the starts come from, how many Gaussians,
how many calls. The table of them, the pictures and the page are made of one list.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tqdm import tqdm

from .. import checkpoints, data, evaluation, generation, metrics, sampling
from ..metrics import distances
from . import results
from .machine import pick_device

PICTURED = 16
PAIRS = 8  # images of an attempt that are shown beside the training image they resemble most
SEARCHED = 1000  # images of a set whose nearest training images are looked for
LEVEL = 0.01  # the share of restored, unseen images that the search for copies takes for copies
RESAMPLES = 100  # draws of the bootstrap behind the intervals of the Fréchet distance


@dataclass(frozen=True)
class Study:
    """Networks by role (role -> experiment; "cold" gives D and the data), `plan` (T -> attempts), what is drawn.

    count: images of every set that is judged, real ones among them. shown: row of the figure -> attempt. paired: the
    attempt whose images are shown beside training images. gaussians: numbers of them to compare. shift, mirror: how an
    image may have been moved and still be a copy.
    """

    networks: dict[str, str]
    plan: Callable
    count: int
    shown: dict[str, str]
    paired: str
    gaussians: tuple[int, ...]
    shift: int = 2
    mirror: bool = False


# In the paper the blur ends in the mean colour (`discrete`), its network is trained with that, and a Gaussian over the
# mean is then all there is to know about x_T. The same prior in a network that was shown more is another thing.
PAPER, BROKEN = "the paper's way: flat blur, the mean alone", "the paper's way, broken symmetry (noise 0.002)"
MISMATCH = "the mean alone, to a network that knows nine"
BEST, ONE = "80 Gaussians, temperature 0.75, 3 calls", "80 Gaussians, temperature 0.75, 1 call"


def digits(T):
    """(attempt, what differs from the first, which draws all nine numbers of a digit and takes every step), ..."""
    every = list(range(T, -1, -1))
    best = dict(components=80, temperature=0.75, severities=sampling.evenly(T, 3))
    yield PAPER, dict(network="discrete", keep=1, components=1)
    yield BROKEN, dict(network="discrete", keep=1, components=1, sigma=0.002)
    yield MISMATCH, dict(keep=1, components=1)
    yield f"{MISMATCH}, noise 0.002", dict(keep=1, components=1, sigma=0.002)
    yield "five numbers", dict(keep=5)
    for components in (1, 5, 20, 40, 80):
        repeated = dict(seeds=3) if components == 20 else {}
        yield f"nine numbers, {components} Gaussian{'s' * (components > 1)}", dict(components=components) | repeated
    yield "nine numbers, noise 0.002", dict(sigma=0.002)
    for t in (12, 8, 6):
        yield f"starting at t = {t}", dict(t=t, severities=every[T - t :])
    for calls in (1, 2, 3, 5, 10):
        yield f"{calls} call{'s' * (calls > 1)}", dict(severities=sampling.evenly(T, calls))
    for temperature in (0.8, 0.6):
        yield f"temperature {temperature}", dict(temperature=temperature)
        yield f"temperature {temperature}, 3 calls", dict(temperature=temperature, severities=sampling.evenly(T, 3))
    yield ONE, best | dict(severities=sampling.evenly(T, 1), seeds=3)
    yield BEST, best | dict(seeds=3)
    yield "80 Gaussians, temperature 0.75, every step", best | dict(severities=every)
    for calls in (3, 20, 50, 200):
        repeated = dict(seeds=3) if calls == 50 else {}
        yield f"hot, {calls} calls", dict(network="hot", severities=sampling.evenly(200, calls)) | repeated
    for loss in ("L2", "L1"):
        yield f"hot, 1,500 steps of {loss}, 50 calls", dict(network=f"hot {loss}", severities=sampling.evenly(200, 50))


def faces(T):
    """The same for faces: the paper's mean colour with a network trained for it, then all that survives, then more."""
    flat, three, t = dict(network="flat", keep=1, components=1), sampling.evenly(T, 3), T * 6 // 11
    early = dict(t=t, components=1)
    yield PAPER, flat
    yield BROKEN, flat | dict(sigma=0.002)
    yield "the paper's way, noise 0.004", flat | dict(sigma=0.004)
    for components in (1, 5, 20):
        yield f"all that survives, {components} Gaussian{'s' * (components > 1)}", dict(components=components)
    yield "all that survives, 1 Gaussian, 1 call", dict(components=1, severities=sampling.evenly(T, 1))
    yield "all that survives, 1 Gaussian, 3 calls", dict(components=1, severities=three)
    yield f"starting at t = {t}, 1 Gaussian", early | dict(severities=list(range(t, -1, -1)))
    yield f"starting at t = {t}, 3 calls", early | dict(severities=sampling.evenly(t, 3))
    yield (
        f"starting at t = {t}, 3 calls, temperature 0.75",
        early | dict(severities=sampling.evenly(t, 3), temperature=0.75),
    )


STUDIES = {
    "generation-mnist": Study(
        {
            "cold": "mnist-blur",
            "hot": "mnist-noise",
            "hot L2": "mnist-noise-1500",
            "hot L1": "mnist-noise-1500-l1",
            "discrete": "mnist-flatblur",
        },
        digits,
        count=2000,
        shown={
            "the paper's way": PAPER,
            "the same, noise": BROKEN,
            "mean, wrong network": MISMATCH,
            "nine numbers": "nine numbers, 20 Gaussians",
            "80 Gaussians, 1 call": ONE,
            "80 Gaussians, 3 calls": BEST,
            "hot, 50 calls": "hot, 50 calls",
        },
        paired=BEST,
        gaussians=(1, 2, 5, 10, 20, 40, 80, 160),
    ),
    "generation-celeba-64": Study(
        {"cold": "celeba-64-blur", "flat": "celeba-64-flatblur"},
        faces,
        count=1000,
        shown={
            "the paper's way": PAPER,
            "the same, noise": BROKEN,
            "all that survives": "all that survives, 1 Gaussian",
            "the same, 3 calls": "all that survives, 1 Gaussian, 3 calls",
            "from t = 60, 3 calls": "starting at t = 60, 3 calls",
            "cooler": "starting at t = 60, 3 calls, temperature 0.75",
        },
        paired="all that survives, 1 Gaussian",
        gaussians=(1, 2, 5, 10, 20),
        mirror=True,
    ),
}


def measure(study, folders, path, command, device=None):
    """Generate every attempt of a study, judge it, and write `path`, a JSON manifest, with a .webp beside it.

    folders: role -> folder of the finished run. command: what makes it again, for the manifest. Returns `path`.
    A second picture, NAME-nearest.webp, shows images of one attempt and the training images nearest to them.
    """
    from .. import plots  # matplotlib takes a second to load

    began, device = time.time(), pick_device(device)
    R = {role: checkpoints.load_weights(folder / "model.safetensors", device) for role, folder in folders.items()}
    config, D = R["cold"].config, R["cold"].D
    images, _ = data.load(config.dataset, "train", config.size, config.zoom)
    judge = Judge(config, images, study, device)
    known, unseen = judge.real(R["cold"])
    report = {
        "networks": {role: described(r, folders[role]) for role, r in R.items()},
        "classifier": judge.net.name,
        "images_of_each": study.count,
        "reference": f"Fréchet: {len(judge.test):,} test images; precision and recall: the first {study.count:,}",
        "copies": judge.memory(unseen),
        "real": {name: judge(x) for name, x in known.items()},
        "attempts": [],
    }
    priors, drawn = {}, {}
    for name, changes in tqdm(list(study.plan(D.T)), "attempts"):
        options = dict(network="cold", count=study.count, seeds=1, t=None, keep=None, components=20) | changes
        law, r = {key: options[key] for key in ("t", "keep", "components")}, R[options["network"]]
        if (key := (options["network"], *law.values())) not in priors:
            priors[key] = generation.prior_of(r.D, images, **law)
        passed = {key: value for key, value in options.items() if key not in ("network", "seeds", *law)}
        again = [generation.generate(r, priors[key], seed=seed, **passed) for seed in range(options["seeds"])]
        numbers = len(priors[key].survivors) if isinstance(priors[key], generation.Prior) else None
        options["seeds_drawn"] = options.pop("seeds")
        report["attempts"].append({"attempt": name, **options, "numbers_per_channel": numbers, **judge(*again)})
        drawn[name] = again[0]
    report["likelihood"] = generation.fit(D, images, components=study.gaussians).tried
    report["seconds"] = time.time() - began
    results.save(path, f"python -m coldlab {command}", report, device)
    rows = {label: drawn[name][:PICTURED] for label, name in study.shown.items()} | {"real": judge.test[:PICTURED]}
    plots.rows(rows, "Rows of generated images, one attempt each, and real ones.").save(path.with_suffix(".webp"))
    rows = judge.suspects(drawn[study.paired], images)
    told = "Generated images that lie suspiciously near to a training image, each above that training image."
    plots.rows(rows, told).save(path.with_name(f"{path.stem}-nearest.webp"))
    return path


class Judge:
    """What is reported of sets of images in [-1, 1], beside the test images of the same data."""

    def __init__(self, config, images, study, device):
        self.study, self.images = study, images
        self.test, _ = data.load(config.dataset, "test", config.size, config.zoom)
        self.net = metrics.classifier(metrics.classifier_for(config.dataset), device)
        self.reads = (
            metrics.classifier_for(config.dataset) == config.dataset
        )  # else its classes are not those of the images
        self.features = metrics.extract(self.net, self.test)
        self.moments = metrics.moments(self.features)
        self.seen = metrics.extract(self.net, images)
        self.originals = metrics.Originals(images, study.shift, study.mirror)
        self.limits = None  # of the two ratios, in pixels and in features, once `memory` has set them

    def real(self, R):
        """({row: images} to be judged, restored test images that nothing else is made of), all in [-1, 1].

        Training images come as a generator would that only copies, equally many of every part of their order.
        """
        count, test = min(self.study.count, len(self.test)), self.test
        ways = evaluation.restored(R, R.D, test[:count], samplers={"improved": sampling.improved})
        every = torch.arange(count) * len(self.images) // count
        known = {
            "training images": data.to_float(self.images[every]),
            "restored directly": ways["direct"] * 2 - 1,
            "restored by Algorithm 2": ways["Algorithm 2"] * 2 - 1,
        }
        half = min(SEARCHED, count) // 2
        return known, [known[row][part] for part in (slice(half), slice(half, 2 * half)) for row in list(known)[1:]]

    def __call__(self, *draws):
        """The measures of the first of some draws (N, C, H, W), their 95 % intervals, and what the others come to."""
        report, intervals = self.judged(draws[0])
        report["intervals"] = intervals
        if len(draws) > 1:
            report["seeds"] = [self.judged(x, False)[0] for x in draws]
        return report | (self.copies(draws[0]) if self.limits else {})

    def judged(self, x, spans=True):
        """({measure: value}, {measure: (low, high)}) of images in [-1, 1]; without spans the latter is empty.

        The intervals speak of other images of the same kind: binomial for shares, the bootstrap for the distance.
        """
        unit, count = data.to_unit(x), self.study.count
        report, seen = evaluation.crowd(self.net, unit, self.features, count, self.reads, self.moments)
        report["spread"] = metrics.rmse(unit, unit.roll(1, 0), per_image=True).mean().item()
        if not spans:
            return report, {}
        sets = {"recognised": len(x), "precision": len(x), "recall": min(count, len(self.features))}
        intervals = {key: binomial(report[key], n) for key, n in sets.items() if key in report}
        drawn = distances.frechet_draws(seen, self.features, RESAMPLES, paired=False)
        low, high = distances.around(report["frechet"], drawn)
        return report, intervals | {"frechet": (max(0.0, low), high)}

    # ------------------------------------------------------------------------------------------------------- copies

    def memory(self, unseen):
        """Set the limits below which an image is taken for a copy, and tell what they catch.

        unseen: restored test images, half of them to set the limits by (at LEVEL), half to try them on. What is caught
        of training images that were copied exactly, noisily, softly, moved or mirrored says what the search is worth.
        """
        first, second = torch.cat(unseen[: len(unseen) // 2]), torch.cat(unseen[len(unseen) // 2 :])
        self.limits = [ratio.quantile(LEVEL).item() for _, _, ratio in self.search(first)]
        count = min(SEARCHED, len(self.images)) // 2
        copied = data.to_float(self.images[torch.arange(count) * len(self.images) // count])
        tried = forged(copied) | {"restored test images": second}
        return {
            "level": LEVEL,
            "limits": dict(zip(("pixels", "features"), self.limits, strict=True)),
            "shift": self.study.shift,
            "mirror": self.study.mirror,
            "taken_for_copies": {name: self.copies(x)["copies"] for name, x in tried.items()},
        }

    def search(self, x):
        """((distance, index, ratio) by pixels, the same by features) of images in [-1, 1]."""
        unit = data.to_unit(x)
        return self.originals(unit), metrics.neighbours(metrics.extract(self.net, unit), self.seen)

    def copies(self, x):
        """How near the nearest training images are, and the shares of images that are taken for copies of one."""
        (distance, _, pixels), (_, _, features) = self.search(x[:SEARCHED])
        shares = [(r < limit).double().mean().item() for r, limit in zip((pixels, features), self.limits, strict=True)]
        return {
            "nearest_median": distance.median().item(),
            "copies": dict(zip(("pixels", "features"), shares, strict=True)),
        }

    def suspects(self, x, images):
        """{row: images} for a picture: those of x with the least ratios, each above its training image."""
        rows, by = {}, zip(("by pixels", "by features"), self.search(x[:SEARCHED]), strict=True)
        for name, (_, index, ratio) in by:
            worst = ratio.argsort()[:PAIRS]
            rows |= {f"generated, {name}": x[worst], f"nearest, {name}": data.to_float(images[index[worst]])}
        return rows


def forged(x):
    """{name: images} of training images x (N, C, H, W) in [-1, 1], copied as a forger might."""
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    soft = F.conv2d(F.pad(x, (1,) * 4, mode="replicate"), kernel, groups=x.shape[1])
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return {
        "exact copies": x,
        "copies with noise 0.05": x + 0.1 * noise,  # in [0, 1] that is 0.05
        "softened copies": soft,
        "copies moved by a pixel": x.roll((1, 1), (2, 3)),
        "mirrored copies": x.flip(3),
    }


def binomial(share, n):
    """(low, high): the 95 % interval of a share of n (Wilson's, which stays within 0..1)."""
    z2 = 1.96**2
    middle, side = share + z2 / (2 * n), 1.96 * (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5
    return max(0.0, (middle - side) / (1 + z2 / n)), min(1.0, (middle + side) / (1 + z2 / n))


def described(R, folder):
    """How a network came about: its settings, the machine and the time it took."""
    config = R.config
    told = {"steps": config.steps, "images_seen": config.steps * config.batch, "loss": config.loss}
    told |= {"timestep_bias": config.timestep_bias, "rollout": config.rollout}
    told |= {"degradation": repr(R.D)} | json.loads((folder / "config.json").read_text(encoding="utf-8"))["machine"]
    told["seconds"] = json.loads((folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["seconds"]
    return told


FORMS = dict(recognised=".1%", entropy=".3f", frechet=".2f", precision=".2f", recall=".2f", spread=".3f")


def measures(manifest):
    """{measure: how it is written} of those that a study's manifest has."""
    return {key: form for key, form in FORMS.items() if key in manifest["attempts"][0]}


def lines(manifest):
    """The lines of a table of what `measure` found."""
    keys = measures(manifest)
    yield f"{'attempt':60s}" + "".join(f"{key:>12s}" for key in keys)
    for name, found in [*manifest["real"].items(), *((a["attempt"], a) for a in manifest["attempts"])]:
        yield f"{name:60s}" + "".join(f"{found[key]:>12{form}}" for key, form in keys.items())
