"""How the default recipe was found: networks and settings that were given the same work, on MNIST's blur.

The idea that holds this file together: what differs is the recipe alone. Every trial costs `WORK`, and its judge is
images of the training set that no trial trains on, so that the test images choose nothing.
"""

import time

from tqdm import tqdm

from .. import checkpoints, data, evaluation, sampling
from ..data.batches import split
from . import experiments, results, studies
from .machine import pick_device

WORK = 12e12  # floating-point operations of a trial's training, forward and backward
ROWS = {"direct": "direct", "Algorithm 2": "improved"}  # of `evaluation.restored`: their names in the manifest


def measure(folders, path, command, device=None):
    """Judge each trial's direct restoration and Algorithm 2 on its held-out images; writes the manifest `path`.

    folders: name of an experiment in RECIPES -> folder of its finished run. Returns `path`.
    """
    began, device, trials = time.time(), pick_device(device), {}
    for name, folder in tqdm(folders.items(), "trials", leave=False):
        R = checkpoints.load_weights(folder / "model.safetensors", device)
        images, _ = data.load(R.config.dataset, "train", R.config.size, R.config.zoom)
        held = split(images, R.config)[1]
        rows = evaluation.restored(R, R.D, held, samplers={"Algorithm 2": sampling.improved})
        values, _ = evaluation.table({row: rows[row] for row in (*ROWS, "original")}, None, resamples=0)
        letter = name.removeprefix(f"{experiments.RECIPE}-")
        found = {ROWS[row]: {measure: values[row][measure] for measure in ("rmse", "ssim")} for row in ROWS}
        trials[letter] = {"change": experiments.RECIPES[name].seen} | found | {"network": studies.described(R, folder)}
    content = {"work": WORK, "held_out_images": len(held), "seconds": time.time() - began, "trials": trials}
    return results.save(path, command, content, device)


def lines(manifest):
    """The lines of a table: each trial's images, and what it restores by one call and by Algorithm 2."""
    yield f"{'':3s}{'images':>9s}{'direct RMSE, SSIM':>20s}{'Algorithm 2':>16s}  what is different"
    for letter, trial in manifest["trials"].items():
        direct, improved = (f"{trial[row]['rmse']:.4f} {trial[row]['ssim']:.3f}" for row in ROWS.values())
        yield f"{letter:3s}{trial['network']['images_seen']:9,d}{direct:>20s}{improved:>16s}  {trial['change']}"
