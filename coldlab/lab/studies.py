"""How well cold diffusion generates: attempt by attempt, on digits and on faces, each judged in the same way.

The idea that holds this file together: an attempt is what it changes: where the starts come from, how many Gaussians,
how many calls. The table of them, the pictures and the page are made of one list.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from tqdm import tqdm

from .. import checkpoints, data, evaluation, generation, metrics, sampling
from . import results
from .machine import pick_device

PICTURED = 16
COPIES = 1000  # images whose nearest neighbours among the training images are looked for


@dataclass(frozen=True)
class Study:
    """Networks by role (role -> experiment; "cold" gives D and the data), `plan` (T -> attempts), what is drawn.

    few, many: images per attempt, and of the best. shown: row of the figure -> attempt. bic: Gaussians to compare.
    """

    networks: dict[str, str]
    plan: Callable
    few: int
    many: int
    shown: dict[str, str]
    bic: tuple[int, ...]


MEAN, NOISY = "the mean alone (the paper, perfect symmetry)", "the mean alone, noise 0.002 (the paper, broken symmetry)"


def digits(T):
    """(attempt, what differs from the first, which draws all nine numbers of a digit and takes every step), ..."""
    every, many = list(range(T, -1, -1)), dict(count="many")
    best = dict(components=80, temperature=0.75, severities=sampling.evenly(T, 3))
    yield MEAN, dict(keep=1, components=1)
    yield NOISY, dict(keep=1, components=1, sigma=0.002)
    yield "the mean alone, network trained with it", dict(network="discrete", keep=1, components=1)
    yield "the same, noise 0.002", dict(network="discrete", keep=1, components=1, sigma=0.002)
    yield "five numbers", dict(keep=5)
    for components in (1, 5, 20, 40, 80):
        yield f"nine numbers, {components} Gaussians", dict(components=components)
    yield "nine numbers, noise 0.002", dict(sigma=0.002)
    for t in (12, 8, 6):
        yield f"starting at t = {t}", dict(t=t, severities=every[T - t :])
    for calls in (1, 2, 3, 5, 10):
        yield f"{calls} call{'s' * (calls > 1)}", dict(severities=sampling.evenly(T, calls))
    for temperature in (0.8, 0.6):
        yield f"temperature {temperature}", dict(temperature=temperature)
        yield f"temperature {temperature}, 3 calls", dict(temperature=temperature, severities=sampling.evenly(T, 3))
    yield "80 Gaussians, temperature 0.75, 3 calls", best | many
    yield "trained on its own states", dict(network="rollout")
    yield "trained on its own states, 3 calls", dict(network="rollout", severities=sampling.evenly(T, 3))
    yield "trained on its own states, 80 Gaussians, temperature 0.75", best | dict(network="rollout", severities=every)
    yield "the same, 3 calls", best | dict(network="rollout") | many
    for calls in (3, 20, 50, 200):
        plenty = many if calls in (20, 200) else {}
        yield f"hot, {calls} calls", dict(network="hot", severities=sampling.evenly(200, calls)) | plenty


def faces(T):
    """The same for faces: the paper's mean colour with a network trained for it, then all that survives, then more."""
    flat, three, t = dict(network="flat", keep=1, components=1), sampling.evenly(T, 3), T * 6 // 11
    early = dict(t=t, components=1)
    yield MEAN, flat
    yield NOISY, flat | dict(sigma=0.002)
    yield "the mean alone, noise 0.004", flat | dict(sigma=0.004)
    for components in (1, 5, 20):
        yield f"all that survives, {components} Gaussian{'s' * (components > 1)}", dict(components=components)
    yield "all that survives, 1 Gaussian, 3 calls", dict(components=1, severities=three)
    yield f"starting at t = {t}, 1 Gaussian", early | dict(severities=list(range(t, -1, -1)))
    yield f"starting at t = {t}, 3 calls", early | dict(severities=sampling.evenly(t, 3))
    yield (
        f"starting at t = {t}, 3 calls, temperature 0.75",
        early | dict(severities=sampling.evenly(t, 3), temperature=0.75),
    )


STUDIES = {
    "generation-mnist": Study(
        {"cold": "mnist-blur", "rollout": "mnist-blur-rollout", "hot": "mnist-noise", "discrete": "mnist-flatblur"},
        digits,
        few=2000,
        many=10_000,
        shown={
            "mean alone": MEAN,
            "mean alone, noise": NOISY,
            "mean alone, trained with it": "the mean alone, network trained with it",
            "nine numbers": "nine numbers, 20 Gaussians",
            "80 Gaussians, 3 calls": "80 Gaussians, temperature 0.75, 3 calls",
            "hot, 20 calls": "hot, 20 calls",
        },
        bic=(1, 2, 5, 10, 20, 40, 80),
    ),
    "generation-celeba-64": Study(
        {"cold": "celeba-64-blur", "flat": "celeba-64-flatblur"},
        faces,
        few=1000,
        many=1000,
        shown={
            "mean alone": MEAN,
            "mean alone, noise": NOISY,
            "all that survives": "all that survives, 1 Gaussian",
            "the same, 3 calls": "all that survives, 1 Gaussian, 3 calls",
            "from t = 60, 3 calls": "starting at t = 60, 3 calls",
            "cooler": "starting at t = 60, 3 calls, temperature 0.75",
        },
        bic=(1, 2, 5, 10, 20),
    ),
}


def measure(study, folders, path, command, device=None):
    """Generate every attempt of a study, judge it, and write `path`, a JSON manifest, with a .png beside it.

    folders: role -> folder of the finished run. command: what makes it again, for the manifest. Returns `path`.
    """
    from .. import plots  # matplotlib takes a second to load

    began, device = time.time(), pick_device(device)
    R = {role: checkpoints.load_weights(folder / "model.safetensors", device) for role, folder in folders.items()}
    config, D = R["cold"].config, R["cold"].D
    images, _ = data.load(config.dataset, "train", config.size, config.zoom)
    judge = Judge(config, images, study, device)
    report = {
        "networks": {role: described(r, folders[role]) for role, r in R.items()},
        "classifier": judge.net.name,
        "reference": f"the {len(judge.test):,} test images; precision and recall with the first {study.few:,}",
        "nearest_limit": judge.limit,
        "real": {"test images": judge(data.to_float(judge.test)) | judge.copies(data.to_float(judge.test))},
        "attempts": [],
    }
    ways = evaluation.restored(R["cold"], D, judge.test[: study.few], samplers={"improved": sampling.improved})
    for row, name in (("direct", "restored directly"), ("Algorithm 2", "restored by Algorithm 2")):
        report["real"][name] = judge(ways[row] * 2 - 1)
    priors, drawn = {}, {}
    for name, changes in tqdm(list(study.plan(D.T)), "attempts"):
        options = dict(network="cold", count="few", t=None, keep=None, components=20) | changes
        options["count"] = getattr(study, options["count"])
        law, r = {key: options[key] for key in ("t", "keep", "components")}, R[options["network"]]
        if (key := (options["network"], *law.values())) not in priors:
            priors[key] = generation.prior_of(r.D, images, **law)
        passed = {key: value for key, value in options.items() if key not in ("network", *law)}
        x = generation.generate(r, priors[key], **passed)
        numbers = len(priors[key].survivors) if isinstance(priors[key], generation.Prior) else None
        result = {"attempt": name, **options, "numbers_per_channel": numbers, **judge(x)}
        report["attempts"].append(result | (judge.copies(x) if len(x) >= COPIES else {}))
        drawn[name] = x[:PICTURED]
    report["bic"] = generation.fit(D, images, components=study.bic).bic
    report["seconds"] = time.time() - began
    results.save(path, f"python -m coldlab {command}", report, device)
    rows = {label: drawn[name] for label, name in study.shown.items()} | {"real": judge.test[:PICTURED]}
    plots.rows(rows, "Rows of generated images, one attempt each, and real ones.").save(path.with_suffix(".png"))
    return path


class Judge:
    """What is reported of images in [-1, 1], beside the test images of the same data."""

    def __init__(self, config, images, study, device):
        self.test, _ = data.load(config.dataset, "test", config.size, config.zoom)
        self.net, self.few = metrics.classifier(metrics.classifier_for(config.dataset), device), study.few
        self.reads = (
            metrics.classifier_for(config.dataset) == config.dataset
        )  # else its classes are not those of the images
        self.features = metrics.extract(self.net, self.test)
        self.moments = metrics.moments(self.features)
        self.training = data.to_unit(images).flatten(1)
        distance, _ = metrics.nearest(data.to_unit(self.test[:COPIES]).flatten(1), self.training)
        self.limit = distance.quantile(0.01).item()

    def __call__(self, x):
        unit = data.to_unit(x)
        seen, report = metrics.extract(self.net, unit), {}
        if self.reads:
            p = metrics.predict(self.net, unit)
            histogram = metrics.class_histogram(p)
            report["recognised"] = metrics.recognised(p).item()
            report |= {"entropy": metrics.class_entropy(histogram).item(), "histogram": histogram.tolist()}
        precision, recall = metrics.precision_recall(seen[: self.few], self.features[: self.few])
        report |= {"frechet": metrics.frechet(metrics.moments(seen), self.moments).item()}
        report |= {"precision": precision.item(), "recall": recall.item()}
        return report | {"spread": metrics.rmse(unit, unit.roll(1, 0), per_image=True).mean().item()}

    def copies(self, x):
        """How near the nearest training image is, and the share nearer than 99 % of the test images are to theirs."""
        distance, _ = metrics.nearest(data.to_unit(x[:COPIES]).flatten(1), self.training)
        return {
            "nearest_median": distance.median().item(),
            "nearest_least": distance.min().item(),
            "nearer_than_test_images": (distance < self.limit).double().mean().item(),
        }


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
