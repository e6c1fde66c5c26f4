"""What D's regularised inverse alone restores from x_T, in float32 and in 8 bits: how much of a result is arithmetic.

The idea that holds this file together: no network, so nothing to train; every preset whose D has an inverse is tried.
"""

import time

import torch
from tqdm import tqdm

from .. import data, evaluation, presets
from ..data import eight_bits
from ..degradations import EIGHT_BITS
from . import experiments, results

RESAMPLES, PICTURED = 1000, 8


def measure(runs, path, command, device=None):
    """Write the manifest `path` and its picture; runs: none are needed."""
    from .. import plots

    began, found, drawn = time.perf_counter(), {}, None
    for name in dict.fromkeys(what.preset for what in experiments.EXPERIMENTS.values()):
        preset = presets.preset(name)
        D, (images, _) = preset.build(), data.load(preset.dataset, "test", preset.size, preset.zoom)
        if D.inverse(data.to_float(images[:1]), D.T) is None:
            continue
        rows = {"degraded": [], "float32": [], "8 bits": [], "original": []}
        for chunk in tqdm(images.split(256), name, leave=False):
            x0 = data.to_float(chunk)
            x = D(x0, D.T)
            files = D.inverse(eight_bits(x), D.T, EIGHT_BITS)
            for row, part in zip(rows, (x, D.inverse(x, D.T), files, x0), strict=True):
                rows[row].append(data.to_unit(part))
        rows = {row: torch.cat(parts) for row, parts in rows.items()}
        values, intervals = evaluation.table(rows, None, RESAMPLES)
        found[name] = {"test_images": len(images), "metrics": values, "intervals": intervals}
        if name == "cifar10-blur" or drawn is None:
            drawn = plots.rows({row: x[:PICTURED] * 2 - 1 for row, x in rows.items()}, f"{name}: the inverse alone.")
    results.save(path, command, {"seconds": time.perf_counter() - began, "experiments": found})
    drawn.save(path.with_suffix(".webp"))
    return path


def lines(manifest):
    """The lines of a table for each preset."""
    for name, found in manifest["experiments"].items():
        yield name
        yield from evaluation.lines(found["metrics"], found["intervals"])
