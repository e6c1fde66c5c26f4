"""Chapter 10's results: another walk with the same networks, and digits of a class that one asks for.

The idea that holds this file together: every row has the same images or starts and the same number of calls, so that
what differs between two rows is what is asked about.
"""

import functools
import time

import torch
from tqdm import tqdm

from .. import checkpoints, data, evaluation, further, generation, metrics, sampling
from ..degradations import Separable
from . import results, studies
from .machine import pick_device

NETWORKS = {"mnist-blur": 1000, "cifar10-mask": 1000, "celeba-64-blur": 300}  # shipped; how many test images
CALLS = (3, 5, 10, None)  # None: T, one for each severity
WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.5)  # of `averaged`; which is best, training images say
TRIED = 200  # of them
RESAMPLES = 500
PER_CLASS, PICTURED = 200, 10
TELLER = "mnist-blur-classes"


def walks(runs, path, command, device=None, networks=NETWORKS):
    """Write the manifest `path`: RMSE and SSIM of shipped networks by sampler and number of calls, with intervals.

    runs: none are needed.
    """
    began, device = time.perf_counter(), pick_device(device)
    found = {name: walked(checkpoints.load_pretrained(name, device), count) for name, count in networks.items()}
    return results.save(path, command, {"walks": found, "seconds": time.perf_counter() - began}, device)


def walked(R, count):
    """What `walks` says of one network on `count` test images."""
    c, D, rounded = R.config, R.D, evaluation.sees_files(R)
    test = data.load(c.dataset, "test", c.size, c.zoom)[0][:count]
    training = data.load(c.dataset, "train", c.size, c.zoom)[0]
    some = training[:: len(training) // TRIED][:TRIED]
    report = {"images": len(test), "x_T_rounded_to_8_bits": rounded, "weights": {}, "rows": []}

    def add(calls, severities, ways):
        rows = evaluation.restored(R, D, test, rounded=rounded, severities=severities, samplers=ways)
        rows = {way: rows[sampling.TITLES.get(way, way)] for way in ways} | {k: rows[k] for k in ("direct", "original")}
        values, intervals, apart = evaluation.compared(rows, None, RESAMPLES)
        for way in ways:
            beaten = {"minus_direct": apart[way]["direct"]["rmse"]}
            row = {"sampler": way, "calls": calls, "severities": list(severities), **values[way]}
            report["rows"].append(row | {"intervals": intervals[way]} | beaten)
        report["direct"] = {**values["direct"], "intervals": intervals["direct"]}

    for calls in tqdm([n or D.T for n in CALLS], c.dataset, leave=False):
        even = sampling.evenly(D.T, calls)
        tried = {f"{w}": functools.partial(sampling.averaged, weight=w) for w in WEIGHTS}
        known = evaluation.restored(R, D, some, rounded=rounded, severities=even, samplers=tried)
        errors = {w: metrics.rmse(known[w], known["original"]).item() for w in tried}
        best = min(errors, key=errors.get)
        report["weights"][str(calls)] = {"chosen": float(best), "tried": errors}
        ways = {"improved": sampling.improved, "averaged": tried[best], "polyak": further.polyak}
        add(calls, even, ways | {"consistent": further.consistent})
        add(calls, sampling.evenly(D.T, (calls + 1) // 2), {"heun": further.heun})  # two calls a step, the last one
        if isinstance(D, Separable) and calls < D.T:
            add(calls, further.best_severities(D, calls), {"improved": sampling.improved})
    return report


def classes(runs, path, command, device=None):
    """Write `path`: digits of a class that is asked for, and who sees to it, the prior or the network that is told.

    runs: none are needed, TELLER ships. Every row has PER_CLASS digits of each class, three calls, the same seeds; the
    classifier reads them, and they are judged as in chapter 6. "prior": whether the starts are drawn from the class's
    own mixture.
    """
    from .. import plots

    began, device = time.perf_counter(), pick_device(device)
    R = checkpoints.load_pretrained(TELLER, device)
    c, D = R.config, R.D
    images, labels = data.load(c.dataset, "train", c.size, c.zoom)
    judge = studies.Judge(c, images, studies.STUDIES["generation-mnist"], device)
    known, unseen = judge.real(R)
    few = sampling.evenly(D.T, 3)
    everything = generation.prior_of(D, images, components=80)
    own = {k: generation.prior_of(D, images[labels == k], components=24) for k in range(c.classes)}
    report = {"per_class": PER_CLASS, "calls": 3, "temperature": 0.75, "classifier": judge.net.name, "rows": []}
    report |= {"memory": judge.memory(unseen), "real": judge(known["training images"])}
    for by_prior, guidance in ((False, 0.0), (True, 0.0), (False, 1.0), (True, 1.0), (True, 2.0), (False, 3.0)):
        drawn = {}
        for k in tqdm(range(c.classes), f"prior {by_prior}, guidance {guidance}", leave=False):
            law = own[k] if by_prior else everything
            how = dict(seed=k, temperature=0.75, severities=few)
            drawn[k] = generation.generate(further.asked(R, k, guidance), law, PER_CLASS, **how)
        read = {k: metrics.predict(judge.net, data.to_unit(x)).argmax(1).cpu() for k, x in drawn.items()}
        right = [(classes == k).double().mean().item() for k, classes in read.items()]
        row = {"prior": by_prior, "guidance": guidance, "read_as_asked": right, "least": min(right)}
        row |= judge(torch.cat(list(drawn.values())))
        every = sum(right) / len(right)
        row["intervals"] |= {"least": studies.binomial(min(right), PER_CLASS)}
        row["intervals"] |= {"asked": studies.binomial(every, len(right) * PER_CLASS)}
        report["rows"].append(row)
        if by_prior and guidance == 1:
            asked = {str(k): x[:PICTURED] for k, x in drawn.items()}
            plots.rows(asked, "Ten rows of generated digits, one for each class that was asked for.").save(
                path.with_suffix(".webp")
            )
    return results.save(path, command, {"classes": report, "seconds": time.perf_counter() - began}, device)


def lines(manifest):
    """The lines of a table of either manifest."""
    if "classes" in manifest:
        yield "starts of the class  guidance  least class  mean  Fréchet"
        for row in manifest["classes"]["rows"]:
            mean = sum(row["read_as_asked"]) / len(row["read_as_asked"])
            told = f"{'yes' if row['prior'] else 'no':19s}  {row['guidance']:8.1f}  {row['least']:11.1%}"
            yield f"{told}  {mean:.1%}  {row['frechet']:7.2f}"
        return
    for name, found in manifest["walks"].items():
        yield f"{name}: direct {found['direct']['rmse']:.4f} / {found['direct']['ssim']:.3f}"
        for row in found["rows"]:
            even = row["severities"] == sampling.evenly(row["severities"][0], len(row["severities"]) - 1)
            told = f"{row['calls']:5d}  {row['sampler']:10s} {row['rmse']:.4f} / {row['ssim']:.3f}"
            yield told + ("" if even else f"  by {row['severities']}")
