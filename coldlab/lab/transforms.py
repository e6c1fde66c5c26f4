"""Any transform: one small network for each, all by one recipe, and how far each D lies from the theorem of chapter 5.

The idea that holds this file together: transforms are compared at equal damage, by equally many calls. So a network
restores from the severity at which its D has moved the pictures by `DAMAGE`, or from T where D never does.
"""

import time

import torch

from .. import checkpoints, data, evaluation, metrics, sampling
from ..degradations import each
from ..unet import device_of
from . import experiments, results, studies
from .machine import pick_device

NAME = "transforms"
DAMAGE = 0.14  # RMSE in [0, 1]: what the paper's blur, mask and pixelate do to CIFAR-10 at their T
CALLS = 20  # of R, or as many as there are severities
COUNT = 1000  # test images
TRIED = 200  # training images on which damage is measured
RESAMPLES = 1000  # bootstrap draws behind every interval
PICTURED = 2  # test images of each transform in the gallery
MORPHED = 8  # faces that become digits, and digits that become faces
UNTOLD = "Algorithm 2, z not told"


def measure(folders, path, command, device=None):
    """Judge a network for each transform and write `path`, a JSON manifest, with the gallery beside it as .webp.

    folders: name of an experiment in TRANSFORMS -> folder of its finished run. command: what makes it again, for the
    manifest. A second picture, NAME-morph.webp, shows faces that become digits and the way back. Returns `path`.
    """
    from .. import plots  # matplotlib takes a second to load

    began, device, found, gallery = time.time(), pick_device(device), {}, {}
    for experiment, folder in folders.items():
        R = checkpoints.load_weights(folder / "model.safetensors", device)
        config, name = R.config, experiment.removeprefix(f"{NAME}-")
        known, _ = data.load(config.dataset, "train", config.size, config.zoom)
        images = data.load(config.dataset, "test", config.size, config.zoom)[0][:COUNT]
        t = begun(R, known[:TRIED])
        net = metrics.classifier(metrics.classifier_for(config.dataset), device)
        rows = restored(R, images, t)
        values, intervals, differences = evaluation.compared(rows, net, RESAMPLES)
        found[name] = {
            "dataset": config.dataset,
            "T": R.D.T,
            "start": t,
            "severities": path_from(t),
            "latent": latent(R.D),
            "deviation": deviations(R, rows, images, t),
            "metrics": values,
            "intervals": intervals,
            "differences": differences,
            "network": studies.described(R, folder),
        }
        shown = [row for row in rows if row != UNTOLD]
        if config.options.get("into"):
            morph = plots.rows(morphed(R, images[:MORPHED]), "Faces, on their way into digits, as digits, and back.")
        else:
            gallery[name] = torch.cat([rows[row][[i]] for i in range(PICTURED) for row in shown]) * 2 - 1
    content = {"damage": DAMAGE, "calls": CALLS, "test_images": len(images), "transforms": found}
    results.save(path, command, content | {"seconds": time.time() - began}, device)
    morph.save(path.with_name(f"{path.stem}-morph.webp"))
    told = f"One row for each transform; of two test images each: {', '.join(shown)}."
    plots.rows(gallery, told, f"Twice: {', '.join(shown)}").save(path.with_suffix(".webp"))
    return path


def begun(R, images, damage=DAMAGE):
    """The severity at which R's D has moved uint8 images (N, C, H, W) by an RMSE nearest to `damage`."""
    x0, z = placed(R, images)
    moved = [metrics.rmse(data.to_unit(R.D(x0, t, z)), data.to_unit(x0)).item() for t in range(1, R.D.T + 1)]
    return 1 + min(range(R.D.T), key=lambda i: abs(moved[i] - damage))


def placed(R, images):
    """(x0, z) of uint8 images (N, C, H, W) on R's device, z as `evaluation.latents` draws it."""
    device = device_of(R)
    return data.to_float(images).to(device), each(lambda v: v.to(device), evaluation.latents(R.D, images))


def path_from(t):
    """CALLS + 1 severities from t down to 0, or all of them where they are fewer."""
    return sampling.evenly(t, min(t, CALLS))


def latent(D):
    """What a restorer knows of z: "none" (there is none), "read" (off the picture) or "told"."""
    return "read" if D.blind else "told" if D.needs_z else "none"


def restored(R, images, t):
    """{row: images in [0, 1]} as in `evaluation.restored`, from severity t; one row more where z has to be told.

    UNTOLD is Algorithm 2 without being told: with z estimated in each step where D.infer can (noise, animorph: that is
    DDIM), else with another z than the one that fell, drawn anew (snow).
    """
    rows = evaluation.restored(R, R.D, images, severities=path_from(t))
    rows.pop("last prediction")
    if latent(R.D) == "told":
        original = rows.pop("original")
        rows |= {UNTOLD: untold(R, images, t), "original": original}
    return rows


def untold(R, images, t):
    """The row UNTOLD of `restored`."""
    (x0, z), device, ends = placed(R, images), device_of(R), []
    other = each(lambda v: v.to(device), evaluation.latents(R.D, images, seed=1))
    for part in torch.arange(len(images), device=device).split(256):
        x = R.D(x0[part], t, each(lambda v, part=part: v[part], z))
        guess = getattr(R.D, "infer", None) or each(lambda v, part=part: v[part], other)
        *_, (_, end, _) = sampling.improved(R, R.D, x, guess, path_from(t))
        ends.append(data.to_unit(end.cpu()))
    return torch.cat(ends)


def deviation(D, x, y, t, z=None):
    """How unlike D moves two batches of images: |(D_t(x) - x) - (D_t(y) - y)| / |x - y|, in root mean squares.

    0 is the premise of chapter 5's theorem 1, where R does not matter; 1 is that D_t leaves nothing of what x and y
    differ in. x, y: (B, C, H, W) in [-1, 1]. With y a prediction it is what one step of Algorithm 2 keeps of its error.
    """
    apart = (D(x, t, z) - x) - (D(y, t, z) - y)
    return (apart.square().mean() / (x - y).square().mean()).sqrt().item()


def deviations(R, rows, images, t):
    """{"images", "errors"}: the deviation between two test images, and between an image and R's one call for it."""
    x0, z = placed(R, images)
    direct = (rows["direct"] * 2 - 1).to(x0)
    return {"images": deviation(R.D, x0, x0.roll(1, 0), t, z), "errors": deviation(R.D, x0, direct, t, z)}


def morphed(R, images):
    """{row: images} for a picture: x0 on its way into z, and what Algorithm 2 makes of x_T, where z alone is left."""
    (x0, z), D = placed(R, images), R.D
    rows = {"x_0": x0, "half way": D(x0, D.T // 2, z), "x_T": (x := D(x0, D.T, z))}
    for row, way in (("Alg. 2, z kept", z), ("Alg. 2, z estimated", D.infer)):
        *_, (_, rows[row], _) = sampling.improved(R, D, x, way, path_from(D.T))
    return rows


def lines(manifest):
    """The lines of a table of what `measure` found."""
    rows = ("degraded", "direct", "Algorithm 1", "Algorithm 2", "averaged")
    yield f"{'RMSE':20s}{'from':>9s}{'z':>6s}{'deviation':>11s}" + "".join(f"{row:>13s}" for row in rows)
    for name, of in manifest["transforms"].items():
        start = f"{of['start']}/{of['T']}"
        values = "".join(f"{of['metrics'][row]['rmse']:>13.3f}" for row in rows)
        yield f"{name:20s}{start:>9s}{of['latent']:>6s}{of['deviation']['images']:>11.2f}{values}"


def listing():
    """What `reproduce --list` says of it."""
    steps = next(iter(experiments.TRANSFORMS.values())).steps
    return f"{len(experiments.TRANSFORMS)} transforms, a network of {steps:,} steps for each"
