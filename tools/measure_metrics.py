"""Measure on MNIST what chapter 7 says about metrics; writes results/metrics-mnist.json.

    python tools/measure_metrics.py                     # about half an hour on one core, nearly all of it restoration
    python tools/measure_metrics.py --rows rows.pt      # keeps the restored images in that file, and uses them again

The 10,000 test images are degraded by the blur of mnist-blur and restored directly and by every sampler.
"""

import argparse
import hashlib
import io
import time
from importlib.metadata import version
from pathlib import Path

import console
import torch
import torch.nn.functional as F
from torch import nn

from coldlab import checkpoints, data, evaluation, metrics, storage
from coldlab.lab import results
from coldlab.lab.machine import machine
from coldlab.metrics import features
from coldlab.metrics.distances import against_samples, frechet_draws

ROOT = Path(__file__).resolve().parent.parent
NETWORK = "mnist-blur"


def restored(cache):
    """(the rows of all test images, seconds that they took, SHA-256 of the weights)."""
    weights = hashlib.sha256((checkpoints.WEIGHTS / f"{NETWORK}.safetensors").read_bytes()).hexdigest()
    if cache and cache.exists():
        rows, seconds, made_with = torch.load(cache, weights_only=True)
        if made_with == weights:
            return rows, seconds, weights
    R, started = checkpoints.load_pretrained(NETWORK), time.perf_counter()
    rows = evaluation.restored(R, R.D, evaluation.images_for(R, "mnist"))
    seconds = time.perf_counter() - started
    if cache:
        torch.save((rows, seconds, weights), whole := io.BytesIO())
        storage.write(cache, whole.getbuffer())
    return rows, seconds, weights


def by_net(rows):
    """The Fréchet distance of each row to the originals, through several nets and through plain pixels.

    "difference" is the 95 % interval of direct minus Algorithm 2, each draw taking the same images of both.
    """
    torch.manual_seed(0)
    nets = [features.Classifier(1, 16).eval(), Pixels()]
    nets = [metrics.classifier(name) for name in features.classifiers()] + nets
    found = {}
    for net in nets:
        seen = {row: metrics.extract(net, x) for row, x in rows.items()}
        truth = seen.pop("original")
        distances = {row: metrics.frechet(x, truth).item() for row, x in seen.items()}
        direct, second = (frechet_draws(seen[row], truth, 100) for row in ("direct", "Algorithm 2"))
        ends = torch.quantile(direct - second, torch.tensor([0.025, 0.975]).double()).tolist()
        spread = metrics.moments(truth).cov.trace().item()
        found[net.name] = {"features": net.dim, "spread": spread, **distances, "difference": ends}
    return found


class Pixels(nn.Module):
    """No net: the means of the 64 patches of 4 x 4 pixels, an 8 x 8 grid of them."""

    name, channels, dim, size, batch = "pixels", 1, 64, 32, 500

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def features(self, x):
        return F.avg_pool2d(x, 4).flatten(1) * self.scale


def by_count(seen, train):
    """The distance against the number of images, its line in 1/n, and what the law of Gaussians predicts."""
    sizes = (128, 256, 512, 1024, 2048, 4096)
    truth, found = seen["original"], {}
    sets = {"real": (train, truth, False)}
    for row in ("direct", "Algorithm 2"):
        sets |= {f"{row}, other images": (seen[row], truth, False), row: (seen[row], truth, True)}
    for name, (a, b, paired) in sets.items():
        curve = against_samples(a, b, sizes, repeats=10, paired=paired)
        limit, slope = metrics.extrapolate({n: v for n, v in curve.items() if n >= 512})
        found[name] = {
            "sizes": sizes,
            "mean": [v.mean().item() for v in curve.values()],
            "std": [v.std().item() for v in curve.values()],
            "limit": limit,
            "slope": slope,
            "all_10000": metrics.frechet(a, b).item(),
        }
    cov = metrics.moments(truth).cov
    found["gaussian_bias"] = [metrics.gaussian_bias(cov, n, n).item() for n in sizes]
    return found


def by_handling(net, x, direct):
    """What happens to real images on their way to the net, as a distance to themselves; and to restored ones."""
    through = lambda side, mode, smooth: F.interpolate(  # noqa: E731
        F.interpolate(x, (side, side), mode=mode, **smooth), (32, 32), mode="bilinear"
    ).clamp(0, 1)
    handled = {
        "rounded to 8 bits": (x * 255).round() / 255,
        "truncated to 8 bits": (x * 0.9999 * 255).floor() / 255,
        "rounded to 4 bits": (x * 15).round() / 15,
        "black and white": (x > 0.5).float(),
        "to 28 and back, nearest": through(28, "nearest", {}),
        "to 28 and back, bilinear": through(28, "bilinear", {}),
        "to 28 and back, bilinear, antialiased": through(28, "bilinear", {"antialias": True}),
        "to 28 and back, bicubic": through(28, "bicubic", {}),
        "shifted by one pixel": x.roll(1, -1),
        "zoom and crop instead of a plain resize": data.to_unit(data.load("mnist", "test", 32, 1.12)[0]),
    }
    truth = metrics.extract(net, x)
    found = {name: metrics.frechet(metrics.extract(net, y), truth).item() for name, y in handled.items()}
    kept = metrics.frechet(metrics.extract(net, direct), truth).item()
    rounded = metrics.frechet(metrics.extract(net, (direct * 255).round() / 255), truth).item()
    return {"original": found, "direct": {"as floats": kept, "rounded to 8 bits": rounded}}


def by_empty_rows(seen):
    """The official code's last 49 of 9,999 rows, which nothing is written to, filled with what memory may hold."""
    found = {}
    for row in ("direct", "Algorithm 2"):
        x, y = seen[row][1:].double(), seen["original"][1:].double()
        last = len(x) % 50
        filled = {}
        for name, value in {"zeros": 0.0, "ones": 1.0, "a hundred": 100.0}.items():
            for which in ("both sets", "one set"):
                a, b = x.clone(), y.clone()
                a[-last:] = value
                if which == "both sets":
                    b[-last:] = value
                filled[f"{name}, {which}"] = metrics.frechet(a, b).item()
        found[row] = {"images": len(x), "rows": last, "all written": metrics.frechet(x, y).item(), **filled}
    return found


def by_border(rows):
    """SSIM as the paper's code and as torchmetrics average it; "another digit" is the next image of the test set."""
    from torchmetrics.functional.image import structural_similarity_index_measure as torchmetrics_ssim

    truth = rows["original"]
    pairs = {row: x for row, x in rows.items() if row != "original"} | {"another digit": truth.roll(1, 0)}
    found = {}
    for name, x in pairs.items():
        parts = zip(x.split(500), truth.split(500), strict=True)
        theirs = [torchmetrics_ssim(a, b, data_range=1.0).item() for a, b in parts]
        found[name] = {"valid windows": metrics.ssim(x, truth).item(), "torchmetrics": sum(theirs) / len(theirs)}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, help="keep the restored images in this file, or take them from it")
    rows, seconds, weights = restored(parser.parse_args().rows)
    made_on, started = machine(torch.device("cpu")), time.perf_counter()
    net = metrics.classifier("mnist")
    values, intervals = evaluation.table(rows, net, resamples=1000)
    seen = {row: metrics.extract(net, x) for row, x in rows.items()}
    train = metrics.extract(net, data.load("mnist", "train", 32)[0][:10000])
    measured = {
        "metrics": values,
        "intervals": intervals,
        "nets": by_net(rows),
        "samples": by_count(seen, train),
        "handling": by_handling(net, rows["original"], rows["direct"]),
        "empty_rows": by_empty_rows(seen),
        "ssim": by_border(rows),
    }
    manifest = {
        "config": {"network": NETWORK, "weights_sha256": weights, "net": net.name, "seed": 0},
        "machine": made_on | {"torchmetrics": version("torchmetrics")},
        "seconds": {"restoration": round(seconds, 1), "metrics": round(time.perf_counter() - started, 1)},
        "test_images": len(rows["original"]),
        **measured,
    }
    print(results.save(ROOT / "results/metrics-mnist.json", "python tools/measure_metrics.py", manifest))


if __name__ == "__main__":
    console.degrade()
    main()
