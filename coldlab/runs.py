"""A training run and its folder: start or resume, show progress, save, stop cleanly, and leave pictures behind.

The idea that holds this file together: nothing is lost. The last two checkpoints are always whole; Ctrl-C, SIGTERM and
a loss that is no number end a run at a state that `--resume` continues bit for bit.

A run's folder holds config.json, log.jsonl, step-*.pt (resumable), model.safetensors (the averaged weights), loss.png
and samples.png.
"""

import dataclasses
import json
import platform
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from . import __version__, checkpoints, data, metrics
from .errors import ColdlabError
from .presets import PRESETS
from .sampling import improved, naive
from .training import check_finite, learning_rate, start, train


def prepare(config):
    """(config, images uint8): the config completed from its preset and its data, and the training images."""
    preset = PRESETS.get(f"{config.dataset}-{config.degradation}")
    if preset is not None:
        options = tuple(f"{key}={value}" for key, value in preset.options.items())
        config = dataclasses.replace(
            config,
            options=tuple(dict.fromkeys((*options, *config.options))),
            size=config.size or preset.size,
            zoom=config.zoom or preset.zoom,
        )
    images, _ = data.load(config.dataset, size=config.size, zoom=config.zoom)
    return dataclasses.replace(config, size=images.shape[-1], channels=images.shape[1]), images


def run(config, out=None, resume=False, device=None, save_every=250, log_every=25, compile=False):
    """Train by `config` into the folder `out`; returns the folder. See the module's docstring for what it holds."""
    if save_every < 1:
        raise ColdlabError(f"--save-every {save_every}; it must be 1 or more.")
    device = pick_device(device)
    out = Path(out or f"runs/{Path(config.dataset).stem}-{config.degradation}")
    if resume:
        D, state, config = go_on(config, out, device)
        images, _ = data.load(config.dataset, size=config.size, zoom=config.zoom)
    else:
        config, images = prepare(config)
        D, state = begin(config, out, device)
    if compile:
        getattr(state.R, "net", state.R).compile()
    write_config(out, config, device)
    images, clock = images.to(device), time.perf_counter()
    log = Log(out / "log.jsonl", state.step)
    began = clock - log.seconds
    bar = tqdm(total=config.steps, initial=state.step, desc=out.name, unit="step", smoothing=0.1)
    with signals() as stop, bar:
        total, since = torch.zeros((), device=device), state.step
        try:
            for step, loss in train(state, D, images, config):
                total += loss
                bar.update()
                due = step % save_every == 0 or step == config.steps or stop
                if step % log_every == 0 or due:
                    check_finite(state)
                    mean = total.item() / (step - since)
                    seconds = time.perf_counter() - clock
                    speed = (step - since) * config.batch / seconds
                    rate, spent = learning_rate(config, step - 1), time.perf_counter() - began
                    log.add(step=step, loss=mean, lr=rate, images_per_second=round(speed, 1), seconds=round(spent, 1))
                    bar.set_postfix_str(f"loss {mean:.4f}, {speed:.0f} images/s")
                    total.zero_()
                    since, clock = step, time.perf_counter()
                if due:
                    save(out, state, config)
                if stop:
                    raise Stopped(stop[0], f"stopped at step {step} of {config.steps}; go on with --resume --out {out}")
        except torch.OutOfMemoryError:
            raise ColdlabError(f"--batch {config.batch} needs more memory than {device} has; try half of it.") from None
    finish(out, state, D, config)
    return out


class Stopped(ColdlabError):
    """The run was asked to stop and did, with everything saved."""

    def __init__(self, signum, message):
        super().__init__(message)
        self.signum = signum


@contextmanager
def signals():
    """While inside, Ctrl-C and SIGTERM only fill the yielded list; the loop stops at the end of its step."""
    caught = []
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, lambda received, _: caught.append(received))
        except ValueError:  # not the main thread, as in some notebooks: leave the signals alone
            break
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def begin(config, out, device):
    """(D, State) of a new run; refuses a folder that holds one already."""
    there = [path.name for path in (*out.glob("step-*.pt"), *out.glob("model.safetensors"))]
    if there:
        raise ColdlabError(f"{out} already holds a run ({there[0]}); add --resume to go on, or choose another --out.")
    return start(config, device)


def go_on(config, out, device):
    """(D, State, Config) of the newest whole checkpoint. Settings other than the defaults must be those of the run."""
    for part in out.glob(".step-*.part"):  # what a kill in the middle of writing has left
        part.unlink(missing_ok=True)
    D, state, before = checkpoints.newest_state(out, device)
    told = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    told = {name: value for name, value in told.items() if value != getattr(type(config), name)}
    told["options"] = before.options if set(config.options) <= set(before.options) else config.options
    changed = [
        f"{name}: was {getattr(before, name)}, now {v}" for name, v in told.items() if v != getattr(before, name)
    ]
    if changed:
        told = ", ".join(changed)
        raise ColdlabError(f"the run in {out} was made with other settings ({told}); leave them out, or change --out.")
    return D, state, before


def images_for(R, name, split="test"):
    """uint8 images of a dataset as R was trained on them: its size, its zoom, and its number of channels."""
    images, _ = data.load(name, split, R.config.size, R.config.zoom)
    if images.shape[1] != R.config.channels:
        theirs, its = data.KINDS[images.shape[1]], data.KINDS[R.config.channels]
        found = f"{name} is {theirs} and this network was trained on {its} images"
        raise ColdlabError(f"{found}; name a network trained on such images with --pretrained.")
    return images


def save(out, state, config):
    """A checkpoint of this step; of the older ones the last is kept."""
    checkpoints.save_state(out / f"step-{state.step:07d}.pt", state, config)
    for path in sorted(out.glob("step-*.pt"))[:-2]:
        path.unlink()


def machine(device):
    """The hardware and the versions that a number was made with."""
    return {
        "commit": commit(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def commit():
    """The commit of this checkout of coldlab ("+" if changed since), or its version where it was installed."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:  # an environment may lie inside another project's checkout, whose commit says nothing
        subprocess.run([*git, "ls-files", "--error-unmatch", "runs.py"], capture_output=True, check=True)
        describe = [*git, "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"coldlab {__version__}"


def cpu_name():
    try:  # platform.processor() is empty on Linux
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write_config(out, config, device):
    """config.json: the settings, and the machine and versions they ran on."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ColdlabError(f"the folder {out} cannot be made ({error.strerror}); choose another --out.") from None
    content = {"config": dataclasses.asdict(config), "machine": machine(device)}
    checkpoints.write(out / "config.json", (json.dumps(content, indent=1) + "\n").encode())


class Log:
    """log.jsonl, one JSON object a line; what was logged after the step that is resumed from is dropped first."""

    def __init__(self, path, step):
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]  # a torn line goes
        self.seconds = json.loads(kept[-1])["seconds"] if kept else 0.0  # spent so far, over all sessions
        checkpoints.write(path, "".join(line + "\n" for line in kept).encode())

    def add(self, **line):
        try:
            with open(self.path, "a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            why = f"{self.path} cannot be written ({error.strerror})"
            raise ColdlabError(f"{why}; the last checkpoint is whole.") from None


def finish(out, state, D, config, shown=8):
    """Weights to use, the loss curve, and held-out images: degraded, direct, Algorithm 1, Algorithm 2, original."""
    from . import plots

    checkpoints.save_weights(out / "model.safetensors", state.ema, config)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps, losses = [line["step"] for line in lines], [line["loss"] for line in lines]
    alt = f"Training loss against step, falling from {losses[0]:.3f} to {losses[-1]:.3f}."
    name = "L1 loss" if config.loss == "l1" else "L2 loss"
    plots.curves({"training": (steps, losses)}, alt, "step", name, logy=True).save(out / "loss.png")

    test, _ = data.load(config.dataset, "test", config.size, config.zoom)
    device = next(state.ema.parameters()).device
    pictures = compare(state.ema, D, data.to_float(test[:shown]).to(device))
    plots.rows(pictures, f"{len(pictures)} rows of held-out images: {', '.join(pictures)}.").save(out / "samples.png")


@torch.no_grad()
def compare(R, D, x0, severities=None, seed=0):
    """{"degraded", "direct", "Algorithm 1", "Algorithm 2", "original"} of a batch x0 in [-1, 1]; z from seed."""
    severities = list(severities or range(D.T, -1, -1))
    z = D.draw(x0, torch.Generator(x0.device).manual_seed(seed))
    x = D(x0, severities[0], z)
    *_, (_, first, _) = naive(R, D, x, z, severities)
    trajectory = improved(R, D, x, z, severities)
    _, second, direct = next(trajectory)  # its first guess is the direct restoration
    for _, second, _ in trajectory:  # noqa: B007  (the last one counts)
        pass
    return {
        "degraded": x,
        "direct": direct,
        "Algorithm 1": first,
        "Algorithm 2": second,
        "original": x0,
    }


def evaluate(R, D, images, batch=256):
    """{row: {"rmse", "psnr", "ssim"}} for degraded, direct, Algorithm 1 and 2, against uint8 images (N, C, H, W)."""
    device, done = next(R.parameters()).device, {}
    for k, chunk in enumerate(tqdm(images.split(batch), "evaluate", leave=False)):
        for row, x in compare(R, D, data.to_float(chunk).to(device), seed=k).items():
            done.setdefault(row, []).append(data.to_unit(x.cpu()))
    done = {row: torch.cat(parts) for row, parts in done.items()}
    truth = done.pop("original")
    measures = (metrics.rmse, metrics.psnr, metrics.ssim)
    return {row: {measure.__name__: measure(x, truth).item() for measure in measures} for row, x in done.items()}


def pick_device(name=None):
    """The device asked for, or a GPU where there is one, else the CPU."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise ColdlabError(f"device {name!r} is not available here; --device cpu always is.") from None
    return device
