"""The measured results: what was trained, for how long, how well it restores, and the command that does it again.

The idea that holds this file together: a number is published only with its run. One function trains, judges by the
paper's protocol and writes the manifest; the results page and the model cards are made from manifests alone.
"""

import dataclasses
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from . import checkpoints, data, evaluation, features, metrics, presets, results, runs, sampling
from .errors import ColdlabError, unknown
from .machine import machine, pick_device
from .training import Config, start, train

RESAMPLES = 1000  # bootstrap draws behind every interval
PICTURED = 8  # test images in the figure


@dataclass(frozen=True)
class Experiment:
    """One row of the results: the preset whose settings it has, how long it trains in full, what else it changes."""

    preset: str
    steps: int
    recipe: dict = field(default_factory=dict)
    keep: tuple[int, ...] = ()  # steps whose weights are kept, to watch the network learn

    def config(self, steps=None):
        """The training.Config of this experiment."""
        p = presets.preset(self.preset)
        options = tuple(f"{key}={value}" for key, value in p.options.items())
        config = Config(p.dataset, p.degradation, options, p.size, p.zoom, **self.recipe)
        return dataclasses.replace(config, steps=steps or self.steps)


# Masks: the paper rounds x_T to 8 bits there, since float32 would carry the hidden pixels at a millionth of their size.
LATE, MIRROR, FILES = dict(late=2.0), dict(flip=True), dict(rounded=1.0)
OWN = dict(own=0.25, batch=32, lr=2e-3)
PROGRESS = (100, 300, 1000, 3000, 10_000, 30_000)

EXPERIMENTS = {
    "digits-blur": Experiment("digits-blur", 2000, dict(rounded=0.2)),
    "mnist-blur": Experiment("mnist-blur", 9000, LATE),
    "mnist-blur-own": Experiment("mnist-blur", 9000, LATE | dict(own=0.5)),
    "mnist-blur-1000": Experiment("mnist-blur", 1000, OWN),
    "mnist-blur-100000": Experiment("mnist-blur", 100_000, OWN, PROGRESS),
    "mnist-mask": Experiment("mnist-mask", 9000, LATE | FILES),
    "mnist-pixelate": Experiment("mnist-pixelate", 9000, LATE),
    "cifar10-blur": Experiment("cifar10-blur", 15_000, LATE | MIRROR),
    "cifar10-mask": Experiment("cifar10-mask", 15_000, LATE | MIRROR | FILES),
    "cifar10-pixelate": Experiment("cifar10-pixelate", 15_000, LATE | MIRROR),
    "celeba-64-blur": Experiment("celeba-64-blur", 6000, LATE | MIRROR),
    "celeba-64-mask": Experiment("celeba-64-mask", 6000, LATE | MIRROR | FILES),
    "celeba-64-pixelate": Experiment("celeba-64-pixelate", 6000, LATE | MIRROR),
}


def experiment(name):
    """The experiment called `name`; an unknown one raises with the list."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


def reproduce(name, budget="full", device=None, out=None, folder=None):
    """Train the experiment `name`, or go on with it, judge it on the test images; returns the manifest's path.

    budget: "full", or the time to train as 2m or 30m: the steps that fit are measured first, and the name gets it as a
    suffix. out: the run's folder, runs/NAME by default. folder: where NAME.json and NAME.png go; by default the
    results of this checkout, else ./results. Interrupted runs go on where they stopped; a finished one is judged again.
    """
    what = experiment(name)
    seconds = seconds_of(budget)
    full, name = name, name if seconds is None else f"{name}-{budget}"
    out = Path(out or f"runs/{name}")
    folder = Path(folder or (results.FOLDER if results.FOLDER != results.INSTALLED else "results"))
    if not any(out.glob("step-*.pt")):
        config = what.config() if seconds is None else fitting(what.config(), seconds, device)
        runs.run(config, out, device=device, options=options(config, what))
    else:
        _, state, config = checkpoints.newest_state(out)
        if dataclasses.replace(config, steps=1, channels=None) != what.config(1):
            raise ColdlabError(f"{out} holds a run of other settings than {full}; choose another --out.")
        if seconds is None and config.steps != what.steps:
            raise ColdlabError(
                f"{out} is a run of {config.steps} steps and {full} takes {what.steps}; choose another --out."
            )
        if state.step < config.steps:
            runs.run(Config(), out, resume=True, device=device, options=options(config, what))
    return judge(name, out, folder, device, f"reproduce {full}" + ("" if seconds is None else f" --budget {budget}"))


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
    config, images = runs.prepare(config)
    device = pick_device(device)
    D, state = start(config, device)
    images, clock = runs.place(images[:10_000], device), None
    for step, loss in train(state, D, images, config):
        if step in (5, 25):
            loss.item()  # waits for the device
            if clock is not None:
                break
            clock = time.perf_counter()
    return dataclasses.replace(config, steps=max(25, int(seconds * 20 / (time.perf_counter() - clock))))


def judge(name, out, folder, device=None, command=None):
    """Write OUT/NAME.safetensors in half precision, and what it does on the test set: FOLDER/NAME.json and NAME.png."""
    R, device = checkpoints.load_weights(out / "model.safetensors"), pick_device(device)
    config, weights = R.config, out / f"{name}.safetensors"
    checkpoints.save_weights(weights, R, config, half=True)
    R = checkpoints.load_weights(weights, device)  # what is published is what is measured
    images, labels = data.load(config.dataset, "test", config.size, config.zoom)
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    made = json.loads((out / "config.json").read_text())
    began = time.perf_counter()
    rounded = evaluation.sees_files(R)
    rows = evaluation.restored(R, R.D, images, rounded=rounded)
    manifest = {
        "name": name,
        "command": f"python -m coldlab {command}",
        "config": dataclasses.asdict(config),
        "machine": made["machine"],
        "seconds": last["seconds"],
        "parameters": sum(p.numel() for p in R.parameters()),
        "training_images": made["images"]["training"],
        "images_seen": config.steps * config.batch,
        "final_training_loss": last["loss"],
        "curve": curve(out),
        "test_images": len(images),
        "x_T_rounded_to_8_bits": rounded,
    }
    net = metrics.classifier(config.dataset, device) if config.dataset in features.classifiers() else None
    manifest["metrics"], manifest["intervals"] = evaluation.table(rows, net, RESAMPLES)
    if net is not None and labels is not None:
        manifest["read_as_their_class"] = read_right(net, rows, labels)
    if R.D.T >= 20:
        manifest["calls"] = {n: fewer(R, images, net, rounded, n) for n in (2, 3, 5, 10)}
    manifest["evaluation"] = machine(device) | {"seconds": round(time.perf_counter() - began, 1)}
    folder.mkdir(parents=True, exist_ok=True)
    draw(folder / f"{name}.png", rows)
    if kept := sorted(out.glob("weights-*.safetensors")):
        draw_progress(folder / f"{name}-progress.png", [*kept, weights], images[:PICTURED], device)
    path = folder / f"{name}.json"
    checkpoints.write(path, (json.dumps(manifest, indent=1) + "\n").encode())
    return path


def fewer(R, images, net, rounded, calls):
    """What Algorithm 2 comes to with so many calls of R, evenly spread: the measures of `evaluation.table`."""
    rows = evaluation.restored(R, R.D, images, rounded=rounded, severities=sampling.evenly(R.D.T, calls))
    return evaluation.table({row: rows[row] for row in ("Algorithm 2", "original")}, net)[0]["Algorithm 2"]


def curve(out):
    """[[step, seconds, held-out loss], ...], about twenty of a run's log."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    tried = [[line["step"], line["seconds"], line["held_out"]] for line in lines if line.get("held_out") is not None]
    return tried[:: -max(1, len(tried) // 20)][::-1]  # counted from the end: the last is always there


def read_right(net, rows, labels):
    """{row: {"share", "by_class"}}: what share of the images is read as their label, in all and by label."""
    found = {}
    for row, x in rows.items():
        right = (features.predict(net, x).argmax(1).cpu() == labels).double()
        by_class = [right[labels == label].mean().item() for label in labels.unique()]
        found[row] = {"share": right.mean().item(), "by_class": by_class}
    return found


SHOWN = ("degraded", "direct", "Algorithm 1", "Algorithm 2", "original")


def draw(path, rows):
    """The first test images, a row each: degraded, direct, both algorithms, original."""
    from . import plots

    rows = {row: rows[row][:PICTURED] * 2 - 1 for row in SHOWN}
    plots.rows(rows, f"Rows of the first {PICTURED} test images: {', '.join(rows)}.").save(path)


def draw_progress(path, weights, images, device):
    """Algorithm 2 on the first test images with the weights of each kept step, and the originals."""
    from . import plots

    x0, rows = data.to_float(images).to(device), {}
    for file in tqdm(weights, "progress", leave=False):
        R = checkpoints.load_weights(file, device)
        step = int(file.stem.split("-")[1]) if file.stem.startswith("weights-") else R.config.steps
        found = evaluation.compare(R, R.D, x0, rounded=evaluation.sees_files(R))
        rows |= {"degraded": found["degraded"].cpu()} if not rows else {}
        rows[f"{step:,} steps"] = found["Algorithm 2"].cpu()
    plots.rows(rows | {"original": x0.cpu()}, "Algorithm 2 with the weights of later and later steps.").save(path)


def listing():
    """The lines of `reproduce --list`: each experiment, what it costs, and what came of it."""
    for name, what in EXPERIMENTS.items():
        config = what.config()
        yield f"{name:20s} {config.steps:7,d} steps of {config.batch} images, {config.size} px, {config.degradation}"
        if name in results.names() and "metrics" in (run := results.load(name)):
            direct, minutes = run["metrics"]["direct"], run["seconds"] / 60
            cores = f"{run['machine']['threads']} threads of {run['machine']['device']}"
            seen = f"{run['images_seen']:,} images in {minutes:.0f} min on {cores}"
            yield f"{'':20s} {seen}; direct RMSE {direct['rmse']:.3f}, SSIM {direct['ssim']:.3f}"
        else:
            yield f"{'':20s} not run yet"
