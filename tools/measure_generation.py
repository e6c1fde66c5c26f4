"""Measure how well cold diffusion generates MNIST digits, attempt by attempt, beside hot diffusion on the same budget.

    python -m coldlab reproduce mnist-blur
    python -m coldlab reproduce mnist-blur-own
    python -m coldlab train --dataset mnist --size 32 --degradation noise --options T=200 --steps 9000 --out runs/hot
    python -m coldlab train --dataset mnist --options discrete=True --steps 9000 --out runs/discrete
    python tools/measure_generation.py runs/mnist-blur runs/mnist-blur-own runs/hot runs/discrete

writes results/generation-mnist.json and .png. The four networks have the same size and see the same number of images.
"""

import json
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from coldlab import checkpoints, data, diversity, features, frechet, generation, plots, sampling
from coldlab.machine import machine

ROOT = Path(__file__).resolve().parent.parent
FEW, MANY, COPIES = 2000, 10_000, 1000  # images per attempt; for the best and for hot; whose neighbours are looked for
BEST = dict(components=80, temperature=0.75, severities=[20, 13, 7, 0])


def plan(T):
    """The attempts: what differs from the first, which draws all nine numbers and takes every step."""
    every = list(range(T, -1, -1))
    yield "the mean alone (the paper, perfect symmetry)", dict(keep=1, components=1)
    yield "the mean alone, noise 0.002 (the paper, broken symmetry)", dict(keep=1, components=1, sigma=0.002)
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
    yield "80 Gaussians, temperature 0.75, 3 calls", BEST | dict(count=MANY)
    yield "trained on its own states", dict(network="own")
    yield "trained on its own states, 3 calls", dict(network="own", severities=sampling.evenly(T, 3))
    yield "trained on its own states, 80 Gaussians, temperature 0.75", BEST | dict(network="own", severities=every)
    yield "the same, 3 calls", BEST | dict(network="own", count=MANY)
    for calls in (3, 20, 50, 200):
        many = dict(count=MANY) if calls in (20, 200) else {}
        yield f"hot, {calls} calls", dict(network="hot", severities=sampling.evenly(200, calls)) | many


def judge(x, net, real):
    """What is reported of images in [-1, 1]."""
    unit = data.to_unit(x)
    p, seen = features.predict(net, unit), features.extract(net, unit)
    histogram = diversity.class_histogram(p)
    precision, recall = diversity.precision_recall(seen[:FEW], real["features"][:FEW])
    return {
        "recognised": diversity.recognised(p).item(),
        "entropy": diversity.class_entropy(histogram).item(),
        "histogram": histogram.tolist(),
        "frechet": frechet.frechet(frechet.moments(seen), real["moments"]).item(),
        "precision": precision.item(),
        "recall": recall.item(),
    }


def copies(x, training, real):
    """How near the nearest training image is, and the share nearer than 99 % of the test images are to theirs."""
    distance, _ = diversity.nearest(data.to_unit(x[:COPIES]).flatten(1), training)
    return {
        "nearest_median": distance.median().item(),
        "nearest_least": distance.min().item(),
        "nearer_than_test_images": (distance < real["limit"]).double().mean().item(),
    }


def main(cold, own, hot, discrete):
    began = time.time()
    networks = {"cold": cold, "own": own, "hot": hot, "discrete": discrete}
    R = {name: checkpoints.load_pretrained(path) for name, path in networks.items()}
    images, _ = data.load("mnist", size=32)
    test, _ = data.load("mnist", "test", size=32)
    net = features.classifier("mnist")
    training = data.to_unit(images).flatten(1)
    seen = features.extract(net, test)
    real = {"features": seen, "moments": frechet.moments(seen)}
    distance, _ = diversity.nearest(data.to_unit(test[:COPIES]).flatten(1), training)
    real["limit"] = distance.quantile(0.01)
    D, x0 = R["cold"].D, data.to_float(test[:FEW])
    report = {
        "name": "generation-mnist",
        "command": "python tools/measure_generation.py runs/mnist-blur runs/mnist-blur-own runs/hot runs/discrete",
        "machine": machine(torch.device("cpu")),
        "networks": {name: described(r, networks[name]) for name, r in R.items()},
        "classifier": net.name,
        "reference": "the 10,000 test images; precision and recall with the first 2,000",
        "nearest_limit": real["limit"].item(),
        "real": {"test images": judge(data.to_float(test), net, real) | copies(data.to_float(test), training, real)},
        "attempts": [],
    }
    with torch.no_grad():
        ways = {
            "restored directly": lambda x: R["cold"](x, D.T),
            "restored by Algorithm 2": lambda x: list(sampling.improved(R["cold"], D, x))[-1][1],
        }
        for name, way in ways.items():
            ends = [way(D(part, D.T)) for part in x0.split(250)]
            report["real"][name] = judge(torch.cat(ends), net, real)
    priors, shown = {}, {}
    for name, options in tqdm(list(plan(D.T)), "attempts"):
        options = dict(network="cold", count=FEW, t=None, keep=None, components=20) | options
        r, law = R[options["network"]], {key: options.pop(key) for key in ("t", "keep", "components")}
        key = (options["network"], *law.values())
        if key not in priors:
            priors[key] = generation.prior_of(r.D, images, **law)
        drawn = {key: value for key, value in options.items() if key != "network"}
        x = generation.generate(r, priors[key], **drawn)
        result = {"attempt": name, **options, **(law if options["network"] != "hot" else {}), **judge(x, net, real)}
        if options["count"] == MANY:
            result |= copies(x, training, real)
        report["attempts"].append(result)
        shown[name] = x[:16]
        print(name, {k: v for k, v in result.items() if isinstance(v, float)}, flush=True)
    report["bic"] = generation.fit(D, images, components=(1, 2, 5, 10, 20, 40, 80)).bic
    report["seconds"] = time.time() - began
    out = ROOT / "results/generation-mnist"
    out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    rows = {
        "mean alone": "the mean alone (the paper, perfect symmetry)",
        "mean alone, noise": "the mean alone, noise 0.002 (the paper, broken symmetry)",
        "mean alone, trained with it": "the mean alone, network trained with it",
        "nine numbers": "nine numbers, 20 Gaussians",
        "80 Gaussians, 3 calls": "80 Gaussians, temperature 0.75, 3 calls",
        "hot, 20 calls": "hot, 20 calls",
    }
    picture = plots.rows(
        {label: shown[name] for label, name in rows.items()} | {"real": test[:16]}, "Rows of generated MNIST digits."
    )
    picture.save(out.with_suffix(".png"))


def described(R, path):
    """How a network came about: its settings, the machine and the time it took."""
    config = R.config
    told = {"steps": config.steps, "images_seen": config.steps * config.batch, "late": config.late, "own": config.own}
    told |= {"degradation": repr(R.D)} | json.loads((Path(path) / "config.json").read_text())["machine"]
    told["seconds"] = json.loads((Path(path) / "log.jsonl").read_text().splitlines()[-1])["seconds"]
    return told


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
