"""How fast this machine degrades, trains and samples, and how much of what it could do that is.

The idea that holds this file together: single times mean little, ratios within one run do. Whatever is compared is
timed in turn, round after round, after a warm-up, and the median is reported.
"""

import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from ..data import NAMES, to_float
from ..errors import unknown
from ..presets import resolve
from ..sampling import improved
from ..training import bfloat16_pays, loss_of, start, train
from ..unet import count
from . import limits, outputs
from .machine import machine
from .speed import warm_up

PARTS = ("degrade", "train", "sample")
PAPER = dict(width=64, mults=(1, 2, 4, 8), attention=(0, 1, 2, 3), patch=1, residual=False, precondition=False)


@dataclass(frozen=True)
class Options:
    """What is measured, and how carefully."""

    parts: tuple[str, ...] = PARTS
    """degrade: D alone, at several t. train: one step. sample: Algorithm 2 from T to 0, with R and without it."""
    paper: bool = False
    """Take the paper's network, 56.6 million weights, in place of the one that the other flags describe."""
    rounds: int = 5
    """Rounds; the median is reported."""
    compile: bool = False
    """Compile our network first; the time that takes is reported apart."""


def measure(config, options, device, rival=None):
    """Everything measured, as plain numbers: seconds are medians per batch, ratios say how often faster ours is.

    rival: (D, channels, device, net=None) -> another implementation, with `blur`, `train` and `sample`, that does the
    same work in turn (tools/official.py is one); both then have the paper's network.
    """
    for part in set(options.parts) - set(PARTS):
        raise unknown("part", part, PARTS)
    limits.check("config", config)
    limits.check("options", options)
    if not (outputs.by_name(config.dataset) or Path(config.dataset).expanduser().exists()):
        raise unknown("dataset", config.dataset, NAMES)
    config = resolve(config)
    config = replace(config, size=config.size or 32, channels=config.channels or channels_of(config.dataset))
    config = replace(config, steps=sys.maxsize, **(PAPER if options.paper or rival else {}))
    D, state = start(config, device)
    images = torch.randint(0, 256, (config.batch, config.channels, config.size, config.size), dtype=torch.uint8)
    images = images.to(device)
    x0 = to_float(images)
    theirs = rival(D, config.channels, device) if rival else None
    report = {
        "degradation": repr(D),
        "size": config.size,
        "channels": config.channels,
        "batch": config.batch,
        "weights": count(state.R),
        "machine": machine(device),
        "rounds": options.rounds,
    }
    if options.compile:
        report["compile_seconds"] = warm_up(state, D, x0, config)
    if "degrade" in options.parts:
        report["degrade"] = degrading(D, x0, theirs, options.rounds)
    if "train" in options.parts:
        report["train"] = training(D, state, images, x0, config, theirs, options.rounds)
    if "sample" in options.parts:
        report["sample"] = sampling(D, state.ema, x0, theirs, rival, options.rounds)
    report["peak_memory_bytes"] = peak_memory(device)
    return report


def degrading(D, x0, theirs, rounds):
    """Seconds of D(x0, t) at several t, at a mixture, and how much more T costs than 1."""
    report, z = {}, D.draw(x0, torch.Generator(x0.device).manual_seed(0))
    at = {f"t = {t}": torch.full((len(x0),), t, device=x0.device) for t in sorted({1, (1 + D.T) // 2, D.T})}
    mixed = torch.Generator(x0.device).manual_seed(1)
    at["t mixed"] = torch.randint(1, D.T + 1, (len(x0),), generator=mixed, device=x0.device)
    ours = {name: (lambda t=t: D(x0, t, z)) for name, t in at.items()}
    seconds = timed(ours, x0.device, rounds, "degrade")
    for name, t in at.items():
        report[name] = {"seconds": seconds[name]}
        if theirs:
            pair = {"ours": ours[name], "official": lambda t=t: theirs.blur(x0, t)}
            report[name] = compared(timed(pair, x0.device, rounds, name))
            report[name]["largest_difference"] = (ours[name]() - theirs.blur(x0, t)).abs().max().item()
    report["T_over_1"] = seconds[f"t = {D.T}"] / seconds["t = 1"]
    return report


def training(D, state, images, x0, config, theirs, rounds):
    """Seconds of a training step, its FLOPs, and their share of the rate of a large matrix product."""
    device, steps = images.device, train(state, D, images, config)
    with FlopCounterMode(display=False) as counter:
        loss_of(state.R, D, x0, config, torch.Generator(device).manual_seed(0)).backward()
    state.optimizer.zero_grad(set_to_none=True)
    work = {"ours": lambda: next(steps)} | ({"official": lambda: theirs.train(x0)} if theirs else {})
    report = compared(timed(work, device, rounds, "train"))
    rate = matrix_rate(device)
    return report | {
        "images_per_second": len(images) / report["seconds"],
        "flops_per_image": counter.get_total_flops() / len(images),
        "matrix_flops_per_second": rate,
        "matrix_dtype": "bfloat16" if bfloat16_pays(device) else "float32",
        "share_of_matrix_rate": counter.get_total_flops() / report["seconds"] / rate,
    }


def sampling(D, R, x0, theirs, rival, rounds):
    """Seconds of Algorithm 2 over all T severities: with R, and with R replaced by the identity, which leaves D's."""
    z = D.draw(x0, torch.Generator(x0.device).manual_seed(0))

    def ours(R):
        for _ in improved(R, D, D(x0, D.T, z), z):
            pass

    report = {}
    for name, net in (("with R", R), ("without R", lambda x, t: x)):
        work = {"ours": lambda net=net: ours(net)}
        if theirs:
            other = theirs if name == "with R" else rival(D, x0.shape[1], x0.device, Identity())
            work["official"] = lambda other=other: other.sample(x0)
        report[name] = compared(timed(work, x0.device, max(1, rounds // 2), f"sample {name}"))
    report["with R"]["images_per_second"] = len(x0) / report["with R"]["seconds"]
    return report


class Identity(torch.nn.Module):
    """R(x, t) = x, with a weight so that an optimiser takes it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, t):
        return x


def timed(work, device, rounds, name="", shortest=0.02):
    """{name: median seconds} of functions called in turn. Fast ones are repeated until `shortest` seconds are full."""
    repeats = {}
    for key, function in work.items():
        function()  # warm-up
        seconds = clock(function, 1, device)
        repeats[key] = max(1, round(shortest / max(seconds, 1e-7)))
    seconds = {key: [] for key in work}
    for _ in tqdm(range(rounds), name, leave=False):
        for key, function in work.items():
            seconds[key].append(clock(function, repeats[key], device))
    return {key: statistics.median(values) for key, values in seconds.items()}


def clock(function, repeats, device):
    wait(device)
    began = time.perf_counter()
    for _ in range(repeats):
        function()
    wait(device)
    return (time.perf_counter() - began) / repeats


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def compared(seconds):
    report = {"seconds": seconds["ours"]}
    if "official" in seconds:
        report |= {"official_seconds": seconds["official"], "ratio": seconds["official"] / seconds["ours"]}
    return report


def matrix_rate(device, rounds=5):
    """FLOPs per second of one large matrix product in the precision that R is trained in."""
    n = 8192 if device.type == "cuda" else 1536
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16 if bfloat16_pays(device) else torch.float32)
    return 2 * n**3 / timed({"product": lambda: a @ a}, device, rounds, "matrix product")["product"]


def peak_memory(device):
    """The most memory in use so far: the allocator's on a GPU, else the whole process's (None where unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def channels_of(dataset):
    return 3 if dataset in ("cifar10", "celeba") else 1


def table(report):
    """The report as text."""
    m = report["machine"]
    lines = [
        f"{report['degradation']}, {report['size']} px, batch {report['batch']}, {report['weights']:,} weights",
        f"{m['device']}, {m['threads']} threads, torch {m['torch']}, median of {report['rounds']} rounds",
        "",
        f"{'':26s} {'ours':>12s} {'official':>12s} {'ratio':>8s}",
    ]
    parts = {f"D at {name}": v for name, v in report.get("degrade", {}).items() if isinstance(v, dict)}
    parts |= {"training step": report["train"]} if "train" in report else {}
    parts |= {f"Algorithm 2 {name}": v for name, v in report.get("sample", {}).items()}
    for name, values in parts.items():
        theirs = f"{1e3 * values['official_seconds']:9.2f} ms {values['ratio']:8.1f}" if "ratio" in values else ""
        lines.append(f"{name:26s} {1e3 * values['seconds']:9.2f} ms {theirs}")
    lines.append("")
    if "degrade" in report:
        lines.append(f"D at T costs {report['degrade']['T_over_1']:.2f} times D at 1")
    if "train" in report:
        t = report["train"]
        rate, kind = t["matrix_flops_per_second"] / 1e9, t["matrix_dtype"]
        lines.append(f"training: {t['images_per_second']:,.0f} images/s at {t['flops_per_image'] / 1e9:.2f} GFLOP each")
        share = f"{t['share_of_matrix_rate']:.0%} of this machine's {kind} matrix product ({rate:,.0f} GFLOP/s)"
        lines.append(f"          {share}")
    if "sample" in report:
        lines.append(f"sampling: {report['sample']['with R']['images_per_second']:,.1f} images/s")
    if "compile_seconds" in report:
        lines.append(f"compiled in {report['compile_seconds']:.0f} s")
    if report["peak_memory_bytes"]:
        lines.append(f"peak memory {report['peak_memory_bytes'] / 2**30:.2f} GiB")
    return "\n".join(lines)
