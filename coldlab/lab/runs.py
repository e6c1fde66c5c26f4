"""A training run and its folder: start or resume, show progress, save, stop cleanly, and leave pictures behind.

The idea that holds this file together: nothing is lost. The last two checkpoints are always whole; Ctrl-C, SIGTERM and
a loss that is no number end a run at a state that `--resume` continues bit for bit.

A run's folder holds config.json (settings and machine), log.jsonl, step-*.pt (the last two states, to resume from),
model.safetensors (the averaged weights of the checkpoint that did best on held-out images), loss.png, samples*.png, and
the averaged weights of each step asked for with `--keep`.
"""

import dataclasses
import json
import shlex
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from .. import checkpoints, data, evaluation, sampling, storage
from ..data.batches import fetch, split
from ..errors import ColdlabError
from ..training import check_finite, learning_rate, train, validate
from . import distributed, limits, starts
from .cli import Stopped
from .speed import warm_up
from .starts import prepare

__all__ = ["Log", "Options", "Stopped", "prepare", "run"]


@dataclasses.dataclass(frozen=True)
class Options:
    """How a run is carried out; none of it changes a step."""

    save_every: int = 250
    """Steps between checkpoints; at each the held-out images are tried."""
    log_every: int = 25
    """Steps between lines of the log."""
    sample_every: int | None = None
    """Steps between pictures of restored images; by default a quarter of the run."""
    keep: tuple[int, ...] = ()
    """Steps whose averaged weights are kept, as weights-STEP.safetensors, to watch a network learn."""
    compile: bool = False
    """Compile the network first: slower to start, then faster."""
    tensorboard: bool = False
    """Write the log for TensorBoard too (pip install tensorboard)."""
    skip_unreadable: bool = False
    """Leave out image files that cannot be read, where one of them would stop the run; `--resume` keeps to it."""


@dataclasses.dataclass
class Pool:
    """A run's images, uint8, and where they lie: all, the numbers of those to train on, those held out, those drawn.

    labels, held_labels: their classes, where the network is told.
    """

    images: torch.Tensor
    among: torch.Tensor
    held: torch.Tensor
    drawn: torch.Tensor
    where: str
    labels: torch.Tensor | None = None
    held_labels: torch.Tensor | None = None


def run(config, out=None, resume=False, device=None, options=Options(), named=()):
    """Train by `config` into the folder `out`; returns the folder. See the module's docstring for what it holds.

    resume: go on with the run that is there; of `config` only the settings in `named` count then (see `starts.go_on`),
    as they do where the run begins with a network, which has settings of its own (`starts.inherited`).
    """
    limits.check("options", options)
    with distributed.group(device) as group:
        out = Path(out or f"runs/{Path(config.dataset).expanduser().resolve().stem}-{config.degradation}")
        skip = options.skip_unreadable or (resume and starts.origin(out).get("skip_unreadable", False))
        if resume:
            D, state, config, images, labels, where = starts.go_on(config, out, group, skip, named)
        else:
            D, state, config, images, labels, where = starts.begin(config, out, group, skip, named)
        pool = pool_of(images, where, config, skip, labels)
        log = Log(out, state.step, options.tensorboard) if group.first else None
        if group.first:
            starts.write_config(out, config, group, pool, skip)
        state.parallel = group.wrap(state.R)
        pool.images = place(images, group.device)
        try:
            if options.compile:
                some = pool.among[torch.arange(group.share(config.batch)) % len(pool.among)]
                seconds = warm_up(state, D, data.to_float(fetch(pool.images, some, group.device)), config)
                if group.first:
                    tqdm.write(f"compiled in {seconds:.0f} s")
            loop(state, D, pool, config, out, options, group, log)
        except torch.OutOfMemoryError:
            why = f"--batch {config.batch} needs more memory than {group.device} has"
            raise ColdlabError(f"{why}; try half of it.") from None
        if group.first:
            finish(out, config, pool.drawn, group.device)
    return out


def pool_of(images, where, config, skip_unreadable=False, labels=None, count=8):
    """The Pool of a run. Where few are held out test images are drawn, and training images where none can be read.

    labels: (N,), or None where the images have none; needed for a network with classes.
    """
    among, held = split(images, config)
    pool = Pool(images, among, held, held[:count], where)
    if config.classes:
        pool.labels = starts.classes_of(labels, where, config)
        kept = torch.ones(len(images), dtype=torch.bool).index_fill_(0, among, False)
        pool.held_labels = pool.labels[kept]
    if len(held) < count:
        try:  # now, since a broken file of a split that training does not need must not end it later
            pool.drawn = data.load(where, "test", config.size, config.zoom, skip_unreadable=True)[0][:count].clone()
        except ColdlabError:
            pool.drawn = images[:count]
    return pool


def loop(state, D, pool, config, out, options, group, log):
    """Train to the end or until asked to stop, and do what a step is due: log, validate and save, draw."""
    clock, since, total = time.perf_counter(), state.step, torch.zeros((), device=group.device)
    began, pictures = clock - (log.seconds if log else 0), options.sample_every or max(1, config.steps // 4)
    bar = tqdm(
        total=config.steps, initial=state.step, desc=out.name, unit="step", smoothing=0.1, disable=not group.first
    )
    with signals() as stop, bar:
        for step, loss in train(state, D, pool.images, config, group.rank, group.ranks, pool.among, pool.labels):
            total += loss
            bar.update()
            due = step % options.save_every == 0 or step == config.steps
            if step in options.keep and group.first:
                checkpoints.save_weights(out / f"weights-{step:07d}.safetensors", state.ema, config)
            drawing = group.first and step % pictures == 0 and step < config.steps
            if not (due or step % options.log_every == 0 or (stop and group.ranks == 1)):
                if drawing:
                    draw(out / f"samples-{step:07d}.png", state.ema, D, pool.drawn, config)
                continue
            stopping = group.any(stop)
            state.first_bad = group.least(state.first_bad)
            check_finite(state)
            mean, seconds = group.mean(total).item() / (step - since), time.perf_counter() - clock
            speed = (step - since) * config.batch / seconds
            if group.first:
                line = {"step": step, "loss": mean, "lr": learning_rate(config, step - 1)}
                line |= {"images_per_second": round(speed, 1), "seconds": round(time.perf_counter() - began, 1)}
                if due:
                    line["held_out"] = (
                        validate(state.ema, D, pool.held, config, pool.held_labels) if len(pool.held) else None
                    )
                log.add(**line)
                told = f", held out {line['held_out']:.4f}" if line.get("held_out") else ""
                bar.set_postfix_str(f"loss {mean:.4f}{told}, {speed:.0f} images/s")
                if due:  # the weights before the state: a kill between the two then repeats the step and writes both
                    keep_best(out, state, config, line["held_out"])
                if due or stopping:
                    save(out, state, config)
                if drawing:
                    draw(out / f"samples-{step:07d}.png", state.ema, D, pool.drawn, config)
            total.zero_()
            since, clock = step, time.perf_counter()
            if stopping:
                number = stop[0] if stop else signal.SIGTERM
                told = f"stopped at step {step} of {config.steps}; go on with --resume --out {shlex.quote(str(out))}"
                raise Stopped(number, told)


def place(images, device):
    """The images on the device, or where they would fill more than half of its memory, in the host's (see `fetch`)."""
    if device.type == "cuda" and images.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return images
    return images.to(device)


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


def keep_best(out, state, config, loss):
    """The averaged weights, to use, where they do better on the held-out images than those before them."""
    path = out / "model.safetensors"
    if loss is None or loss < state.best or not path.exists():
        state.best = state.best if loss is None else min(loss, state.best)
        checkpoints.save_weights(path, state.ema, config)


def save(out, state, config):
    """The state of this step, to resume from; of the older ones the last stays."""
    checkpoints.save_state(out / f"step-{state.step:07d}.pt", state, config)
    for path in checkpoints.states(out)[:-2]:
        path.unlink()


class Log:
    """log.jsonl, one JSON object a line; what was logged after the step that is resumed from is dropped first."""

    def __init__(self, out, step, tensorboard=False):
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ColdlabError(f"the folder {out} cannot be made ({error.strerror}); choose another --out.") from None
        self.path, self.board = out / "log.jsonl", board(out, step) if tensorboard else None
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path.exists() else []
        kept = [line for line in lines if step_of(line) <= step]
        self.seconds = json.loads(kept[-1])["seconds"] if kept else 0.0  # spent so far, over all sessions
        storage.write_text(self.path, "".join(line + "\n" for line in kept))

    def add(self, **line):
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            why = f"{self.path} cannot be written ({error.strerror})"
            raise ColdlabError(f"{why}; the last checkpoint is whole.") from None
        if self.board:
            for name in set(line) - {"step"}:
                if line[name] is not None:
                    self.board.add_scalar(name, line[name], line["step"])
            self.board.flush()


def step_of(line):
    """The step that a line of the log speaks of; infinity where it is torn, or no line of a log."""
    try:
        found = json.loads(line)
        return found["step"] if isinstance(found["seconds"], int | float) else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")


def board(out, step):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ColdlabError("--tensorboard needs the package: pip install tensorboard, or leave it out.") from None
    return SummaryWriter(out, purge_step=step + 1)


def finish(out, config, drawn, device):
    """The loss curve, and images restored with the weights that were kept."""
    from .. import plots

    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    series = {"training": ([line["step"] for line in lines], [line["loss"] for line in lines])}
    tried = [line for line in lines if line.get("held_out") is not None]
    if tried:
        series["held out"] = ([line["step"] for line in tried], [line["held_out"] for line in tried])
    losses = series["training"][1]
    alt = f"Training loss against step, from {losses[0]:.3f} to {losses[-1]:.3f}."
    name = "L1 loss" if config.loss == "l1" else "L2 loss"
    plots.curves(series, alt, "step", name, logy=True).save(out / "loss.png")
    R = checkpoints.load_weights(out / "model.safetensors", device)
    draw(out / "samples.png", R, R.D, drawn, config)


def draw(path, R, D, images, config):
    """Rows of held-out (or test) images: degraded, direct, both of the paper's samplers, original."""
    from .. import plots

    both = {name: sampling.SAMPLERS[name] for name in ("naive", "improved")}
    rows = evaluation.shown(evaluation.restored(R, D, images, rounded=config.rounded == 1, samplers=both))
    plots.rows(rows, f"{len(rows)} rows of held-out images: {', '.join(rows)}.").save(path)
