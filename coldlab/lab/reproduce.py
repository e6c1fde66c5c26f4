"""The measured results: what was trained, for how long, how well it restores, and the command that does it again.

The idea that holds this file together: a number is published only with its run. One function trains, judges by the
paper's protocol and writes the manifest; the results page and the model cards are made from manifests alone.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tqdm import tqdm

from .. import checkpoints, data, evaluation, metrics, sampling
from ..degradations import Separable
from ..errors import ColdlabError, unknown
from ..metrics import judges
from ..metrics.artefacts import excess, ring, spot
from . import experiments, results, studies
from .baselines import baselines
from .experiments import suffixed, trained
from .machine import machine, pick_device
from .measurements import MEASUREMENTS
from .studies import STUDIES

RESAMPLES = 1000  # bootstrap draws behind every interval
FEW = 1000  # images for what is slow to measure
DIGITS = ("digits", "mnist")  # whose strokes may stand elsewhere
PICTURED = 8  # test images in the figure
SPOTS = 64  # test images whose middle is looked at


def reproduce(name, budget="full", device=None, out=None, folder=None, samplers=None, judge_only=False):
    """Make the result `name` again, training what it needs or going on with it; returns the manifest's path.

    name: an experiment, judged on the test images; a study of generation or another of `measurements`, whose networks,
    if they need any, are trained one by one.
    budget: "full", or the time to train each network as 2m or 30m; the name gets it as a suffix. out: the run's folder,
    runs/NAME by default, for a study the folder of its networks' runs, runs. folder: where NAME.json and NAME.webp go;
    by default the results of this checkout, else ./results. samplers: {name: sampler} that an experiment is judged
    with, by default those of `sampling.COURSE`. A finished run is only judged again. judge_only: so are the weights
    that ship, without a run (`rejudge`).
    """
    known = experiments.EXPERIMENTS | STUDIES | MEASUREMENTS
    if name not in known:
        raise unknown("result", name, known)
    folder = place(folder)
    if judge_only and (budget != "full" or out):
        raise ColdlabError("--judge judges the weights that ship and trains nothing; leave --budget and --out out.")
    if judge_only and name not in checkpoints.pretrained():
        raise unknown("shipped network", name, checkpoints.pretrained())
    if budget != "full" and name in MEASUREMENTS and not (MEASUREMENTS[name].networks or tuple)():
        raise ColdlabError(f"{name} has no networks that could train for {budget}; leave --budget out.")
    ready(folder)
    if judge_only:
        return rejudge(name, folder, device, samplers)
    command = f"reproduce {name}" + ("" if budget == "full" else f" --budget {budget}")
    called = suffixed(name, budget)
    if name in experiments.EXPERIMENTS:
        return judge(called, trained(name, budget, device, out), folder, device, command, samplers)
    if name in MEASUREMENTS and MEASUREMENTS[name].networks is None:
        folders = Path(out or f"runs/{name}")
        return MEASUREMENTS[name].measure(folders, folder / f"{name}.json", f"python -m coldlab {command}", device)
    networks = {n: n for n in MEASUREMENTS[name].networks()} if name in MEASUREMENTS else STUDIES[name].networks
    runs = {role: trained(n, budget, device, Path(out or "runs") / suffixed(n, budget)) for role, n in networks.items()}
    if name in MEASUREMENTS:
        return MEASUREMENTS[name].measure(runs, folder / f"{called}.json", f"python -m coldlab {command}", device)
    return studies.measure(STUDIES[name], runs, folder / f"{called}.json", command, device)


def place(folder=None):
    """Where manifests go: into `folder`, by default the results of this checkout, else ./results."""
    return Path(folder or (results.FOLDER if results.FOLDER != results.INSTALLED else "results"))


def ready(folder):
    """Make the folder of manifests before hours of work, not after. Raises ColdlabError where none can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ColdlabError(f"{folder} cannot be written ({error.strerror}); choose another --results.") from None


def rejudge(name, folder, device=None, samplers=None):
    """Judge a shipped network again, by the code of today, and write its manifest; no run's folder is needed.

    What the manifest in FOLDER says of the training (machine, time, curve) is kept, the judgement is new, and its
    pictures too, but for that of the training's progress.
    """
    path = folder / f"{name}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else results.load(name)
    R = checkpoints.load_pretrained(name, pick_device(device))
    training = {key: known[key] for key in TRAINING if key in known}
    return judged(R, training, path, f"reproduce {name}", device, samplers)


PARTS = ("machine", "seconds", "images_seen", "began_with")
TRAINING = ("training_images", "final_training_loss", "curve", *PARTS)


def judge(name, out, folder, device=None, command=None, samplers=None):
    """Write OUT/NAME.safetensors in half precision, and FOLDER/NAME.json and .webp: what it does on the test set."""
    R, weights = checkpoints.load_weights(out / "model.safetensors"), out / f"{name}.safetensors"
    checkpoints.save_weights(weights, R, R.config, half=True)
    R = checkpoints.load_weights(weights, pick_device(device))  # what is published is what is measured
    path = judged(R, training_of(out), folder / f"{name}.json", command, device, samplers)
    if kept := sorted(out.glob("weights-*.safetensors")):
        images, _ = data.load(R.config.dataset, "test", R.config.size, R.config.zoom)
        draw_progress(folder / f"{name}-progress.webp", [*kept, weights], images[:PICTURED], pick_device(device))
    return path


def training_of(out):
    """What a manifest says of the training in the run's folder `out`, and of the runs beside it that it went on from.

    seconds and images_seen count theirs, too; began_with holds what they were before, in turn.
    """
    last = json.loads((out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    made = json.loads((out / "config.json").read_text(encoding="utf-8"))
    training = {
        "machine": made["machine"],
        "seconds": last["seconds"],
        "training_images": made["images"]["training"],
        "images_seen": last["step"] * made["config"]["batch"],
        "final_training_loss": last["loss"],
        "curve": curve(out),
    }
    if first := made["config"].get("pretrained"):
        beside = out.with_name(first)
        before = training_of(beside) if (beside / "log.jsonl").exists() else results.load(first)
        parts = {key: before[key] for key in PARTS if key in before}
        training |= {key: parts[key] + training[key] for key in ("seconds", "images_seen")}
        training["began_with"] = {"name": first} | parts
    return training


def judged(R, training, path, command, device=None, samplers=None):
    """Write the manifest `path` of R, and its pictures: what is known of its training, what it does on the test set."""
    config, device, began = R.config, pick_device(device), time.perf_counter()
    images, labels = data.load(config.dataset, "test", config.size, config.zoom)
    rounded = evaluation.sees_files(R)
    samplers = sampling.samplers() if samplers is None else samplers
    rows = evaluation.restored(R, R.D, images, rounded=rounded, samplers=samplers)
    manifest = {
        "config": dataclasses.asdict(config),
        "degradation": repr(R.D),
        "T": R.D.T,
        "parameters": sum(p.numel() for p in R.parameters()),
        **training,
        "test_images": len(images),
        "x_T_rounded_to_8_bits": rounded,
    }
    net = metrics.classifier(chosen, device) if (chosen := metrics.classifier_for(config.dataset)) else None
    values, intervals, differences = evaluation.compared(rows, net, RESAMPLES)
    manifest |= {"metrics": values, "intervals": intervals, "differences": differences}
    if chosen == config.dataset and labels is not None:
        manifest["read_as_their_class"] = read_right(net, rows, labels)
    if R.D.T >= 20:
        manifest["calls"] = {n: fewer(R, images, net, rounded, n, samplers) for n in (2, 3, 5, 10)}
    if isinstance(R.D, Separable) and not rounded:
        manifest["eight_bits"] = files(R, images, net)
    if min(images.shape[-2:]) >= 24:  # the frames and the window have to fit
        manifest["artefacts"] = artefacts(rows)
    if getattr(R.D, "centre", None) == "centred":
        manifest["spots"] = spots(rows, (config.size // 2 - 1,) * 2)
    training_images, _ = data.load(config.dataset, "train", config.size, config.zoom)
    if config.channels == 3 and (others := by_others(rows, training_images, device)):
        manifest["judges"] = others
    some = images if not R.D.needs_z else images[:FEW]
    manifest["baselines"] = without_network(R, some, training_images, rounded)
    if config.dataset in DIGITS:
        manifest["moved"] = {f"({k}, {k})": moved(R, images, rounded, k) for k in (1, 2)}
    if R.D.blind:
        manifest["holes"] = holes(R, images[:FEW], rounded, samplers)
    manifest["evaluation"] = machine(device) | {"seconds": round(time.perf_counter() - began, 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(path.with_suffix(".webp"), rows)
    if R.D.T >= 20:
        draw_steps(path.with_name(f"{path.stem}-steps.webp"), R, images[:PICTURED])
    return results.save(path, f"python -m coldlab {command}", manifest, device)


def files(R, images, net):
    """{"told", "not told": {row: measures}}: one call of R from an x_T of 256 levels, and whether R knows of them."""
    found = {}
    for name, tell in (("told", True), ("not told", False)):
        rows = evaluation.restored(R, R.D, images, rounded=True, samplers={}, tell=tell)
        found[name], _ = evaluation.table(rows, net)
    return found


def artefacts(rows):
    """{row: {"ring", "excess"}}: the frame of `metrics.artefacts`, and the highest peak along rows and columns."""
    original, found = rows["original"], {}
    window = min(48, original.shape[-1] * 3 // 4)
    for row in rows.keys() - {"original", "last prediction"}:
        x = rows[row]
        found[row] = {"ring": ring(x, original).item(), "excess": excess(x, original, window).amax(1).tolist()}
    return {row: found[row] for row in rows if row in found}


def spots(rows, at):
    """{row: {"median", "largest"}}: how far the pixel `at`, where a hole closes last, stands out in the first."""
    found = {row: spot(x[:SPOTS], at) for row, x in rows.items() if row not in ("degraded", "last prediction")}
    return {row: {"median": x.median().item(), "largest": x.max().item()} for row, x in found.items()}


def by_others(rows, training, device):
    """{"test_images", row: measures} by `metrics.judges` of the first images; nothing where their packages are not."""
    rows = {row: x[:FEW] for row, x in rows.items() if row != "last prediction"}
    count = len(rows["original"])
    found = judges.judged(rows, data.to_unit(data.to_float(training[:count])), device)
    return {"test_images": count} | found if found else {}


def without_network(R, images, training, rounded):
    """{"test_images", row: measures} of the classical restorations of `baselines`, which know the training images."""
    rows = baselines(R.D, images, training, evaluation.latents(R.D, images), rounded)
    return {"test_images": len(images)} | evaluation.table(rows | {"original": data.to_unit(data.to_float(images))})[0]


def moved(R, images, rounded, k):
    """{row: measures} of one call of R on images moved down and to the right by k pixels (borders repeat)."""
    there = F.pad(images.float(), (k, 0, k, 0), mode="replicate")[..., :-k, :-k].to(torch.uint8)
    return evaluation.table(evaluation.restored(R, R.D, there, rounded=rounded, samplers={}))[0]


def holes(R, images, rounded, samplers):
    """How well the holes' places are read off the images, and what it costs: measures with them read, and told."""
    samplers = {name: sampler for name, sampler in samplers.items() if name != "naive"}
    right = []
    for first in range(0, len(images), 256):
        part = images[first : first + 256]
        z = evaluation.latents(R.D, part, first=first)
        _, _, seen = evaluation.begin(R, R.D, data.to_float(part), z, R.D.T, rounded)
        right.append((seen.cpu() - z).abs().amax(1))
    right = torch.cat(right)
    exact, near = ((right <= k).double().mean().item() for k in (0, 1))
    found = {"test_images": len(images), "exact": exact, "within_a_pixel": near}
    for name, blind in (("read", True), ("told", False)):
        rows = evaluation.restored(R, R.D, images, rounded=rounded, samplers=samplers, blind=blind)
        found[name] = evaluation.table(rows)[0]
    return found


def fewer(R, images, net, rounded, calls, samplers):
    """{row: measures} of what each sampler but Algorithm 1 comes to with so many calls of R, evenly spread."""
    samplers = {name: sampler for name, sampler in samplers.items() if name != "naive"}
    severities = sampling.evenly(R.D.T, calls)
    rows = evaluation.restored(R, R.D, images, rounded=rounded, severities=severities, samplers=samplers)
    wanted = {sampling.TITLES.get(name, name) for name in samplers} | {"original"}
    return evaluation.table({row: x for row, x in rows.items() if row in wanted}, net)[0]


def curve(out):
    """[[step, seconds, held-out loss], ...], about twenty of a run's log."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    tried = [[line["step"], line["seconds"], line["held_out"]] for line in lines if line.get("held_out") is not None]
    return tried[:: -max(1, len(tried) // 20)][::-1]  # counted from the end: the last is always there


def read_right(net, rows, labels):
    """{row: {"share", "by_class"}}: what share of the images is read as their label, in all and by label."""
    found = {}
    for row, x in rows.items():
        right = (metrics.predict(net, x).argmax(1).cpu() == labels).double()
        by_class = [right[labels == label].mean().item() for label in labels.unique()]
        found[row] = {"share": right.mean().item(), "by_class": by_class}
    return found


def draw(path, rows):
    """The first test images, a row each: degraded, direct, every sampler, original."""
    from .. import plots

    rows = evaluation.shown({row: x[:PICTURED] for row, x in rows.items()})
    plots.rows(rows, f"Rows of the first {PICTURED} test images: {', '.join(rows)}.").save(path)


def draw_steps(path, R, images):
    """Algorithm 2 on the first test images: rows for x_T, four states, closer towards 0, the end, and the originals."""
    from .. import plots

    D, T = R.D, R.D.T
    R, x, z = evaluation.started(R, D, images, T, evaluation.sees_files(R))
    rows, wanted = {f"t = {T}": x.cpu()}, [round(T * (k / 5) ** 2) for k in range(5)]
    for t, state, _ in sampling.improved(R, D, x, z):
        if t in wanted:
            rows[f"t = {t}"] = state.cpu()
    plots.rows(rows | {"original": data.to_float(images)}, "Algorithm 2's states on the first test images.").save(path)


def draw_progress(path, weights, images, device):
    """Algorithm 2 on the first test images with the weights of each kept step, and the originals."""
    from .. import plots

    rows, only = {}, {"improved": sampling.improved}
    for file in tqdm(weights, "progress", leave=False, disable=None):
        R = checkpoints.load_weights(file, device)
        step = int(file.stem.split("-")[1]) if file.stem.startswith("weights-") else R.config.steps
        found = evaluation.restored(R, R.D, images, rounded=evaluation.sees_files(R), samplers=only)
        found = evaluation.shown(found)
        rows |= {"degraded": found["degraded"]} if not rows else {}
        rows[f"{step:,} steps"] = found["Algorithm 2"]
    rows["original"] = data.to_float(images)
    plots.rows(rows, "Algorithm 2 with the weights of later and later steps.").save(path)


def cores(machine):
    """The hardware of a manifest in words: 1 thread of ..., 2 threads of ..."""
    return f"{machine['threads']} thread{'s' * (machine['threads'] > 1)} of {machine['device']}"


def listing():
    """The lines of `reproduce --list`: each experiment, what it costs, and what came of it."""
    for name, what in experiments.EXPERIMENTS.items():
        config = what.config()
        yield f"{name:20s} {config.steps:7,d} steps of {config.batch} images, {config.size} px, {config.degradation}"
        if name in results.names() and "metrics" in (run := results.load(name)):
            direct, minutes = run["metrics"]["direct"], run["seconds"] / 60
            seen = f"{run['images_seen']:,} images in {minutes:.0f} min on {cores(run['machine'])}"
            yield f"{'':20s} {seen}; direct RMSE {direct['rmse']:.3f}, SSIM {direct['ssim']:.3f}"
        else:
            yield f"{'':20s} not run yet"
    for name, study in STUDIES.items():
        yield f"{name:20s} {len(list(study.plan(20)))} ways to generate, with {', '.join(study.networks.values())}"
        yield f"{'':20s} " + ("run" if name in results.names() else "not run yet")
    for name, what in MEASUREMENTS.items():
        yield f"{name:20s} {what.told}"
        yield f"{'':20s} " + ("run" if name in results.names() else "not run yet")


def lines(manifest):
    """The lines of a table of what a manifest says, whatever it is of."""
    if "attempts" in manifest:
        return studies.lines(manifest)
    if "metrics" in manifest:
        return evaluation.lines(manifest["metrics"], manifest["intervals"])
    return next(what.lines(manifest) for name, what in MEASUREMENTS.items() if manifest["name"].startswith(name))
