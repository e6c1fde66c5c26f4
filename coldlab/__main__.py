"""The command line: `python -m coldlab train`, sample, restore, evaluate, reproduce, bench, degradations, presets.

The idea that holds this file together: a command is a function whose arguments are its flags; what a user can mend is
told in one sentence, without a traceback.
"""

import dataclasses
import functools
import inspect
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tqdm import tqdm

from . import checkpoints, data, evaluation, further, generation, metrics, sampling
from . import whole as photographs
from .data.files import located
from .degradations import EIGHT_BITS, FLOAT32, REGISTRY, Separable
from .errors import ColdlabError, unknown
from .lab import commands, distributed, limits, looks, outputs, pictures, runs, starts
from .lab.cli import KEY_VALUES, answered, at_home, named
from .lab.commands import Number, Share, Text
from .lab.machine import pick_device
from .metrics import judges
from .presets import PRESETS
from .training import Config
from .unet import device_of, told

STARTS = ("mixture", "mean", "test")


def train(
    asked,
    config: Annotated[Config, tyro.conf.arg(name="")] = Config(),  # noqa: B008  (frozen)
    options: Annotated[runs.Options, tyro.conf.arg(name="")] = runs.Options(),  # noqa: B008  (frozen)
    out: Text = None,
    resume: bool = False,
    device: Text = None,
):
    """Train a network to undo a degradation. With no options: blurred digits, about two minutes on two CPU cores.

    Args:
        out: Folder of the run; by default runs/DATASET-DEGRADATION.
        resume: Go on from the folder's newest whole checkpoint, with the settings and images it was started with.
            With --steps beyond the run's it trains longer, with --dataset it finds images that have moved.
        device: cpu, cuda, cuda:1, mps; by default a CUDA GPU where there is one, else the CPU.
    """
    out = runs.run(config, out, resume, device, options, named(asked))
    if distributed.reports():
        print(f"{out}/: model.safetensors, log.jsonl, loss.png, samples.png")
        print(f"Next: {outputs.program()} evaluate --pretrained {shlex.quote(str(out))}")


def restore(
    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE...")],
    pretrained: Text = None,
    severity: Number = None,
    degrade: bool = False,
    whole: bool = False,
    sampler: Text = None,
    weight: Share = None,
    out: Path = Path("restored"),
    device: Text = None,
):
    """Restore image files: PNG, JPEG, 16-bit PNG or TIFF, or .npy. Writes the image, its film strip and a GIF.

    A file is taken for one that D has degraded to --severity; sharp photographs need --degrade.

    Args:
        images: Files, or folders of them, already degraded to --severity by their owner, or clean with --degrade.
        pretrained: A name that comes with coldlab, a .safetensors file, or the folder of a run. By default digits-blur,
            with --whole cifar10-blur.
        severity: How far the files are degraded, 1..T; T by default.
        degrade: The files are clean: degrade them first, and say how near the result comes to them.
        whole: Restore each picture at its own size, in tiles where it is large, in place of making it as small as the
            images that the network was trained on.
        sampler: improved (Algorithm 2), naive (Algorithm 1) or averaged (Algorithm 2 on the mean of the predictions);
            also polyak, heun, consistent (chapter 10), or direct, one call of the network.
            By default improved; but one call for a degraded file of 8 bits whose like the network never saw.
        weight: Of averaged: the weight of the newest prediction, above 0 and up to 1; by default 0.1.
        out: Folder for the results.
        device: cpu, cuda, cuda:1, mps; by default a CUDA GPU where there is one, else the CPU.
    """
    if not images:
        raise ColdlabError("no image was given: python -m coldlab restore IMAGE...")
    images, pretrained = data.named(images), pretrained or ("cifar10-blur" if whole else "digits-blur")
    chosen = sampling.sampler("improved" if sampler in (None, "direct") else sampler, weight)
    outputs.spare(
        [name for path in images for name in outputs.of_image(out, path)],
        [*(path for path, there in map(located, images) if there and path.is_file()), *outputs.network(pretrained)],
    )
    if len({path.stem.casefold() for path in images}) < len(images):
        raise ColdlabError("two of the images have the same name, and so would their results; restore them one by one.")
    shapes = looks.shapes(images)
    trained, D = model(pretrained, device)
    severity = severity_of(severity, D)
    R, side = trained, trained.config.size
    for path, shape in shapes.items():
        looks.warn_of_shape(path, shape, R, pretrained, whole, degrade)
    for path in images:
        x, bits = data.read_image(path, R.config.channels, None if whole else side)
        x = x.to(device_of(R))
        if whole:
            x = photographs.fitting(D, x)
            R = photographs.resized(trained, *x.shape[-2:])
            D = R.D
        x0 = x if degrade else None
        z = D.draw(x, torch.Generator(x.device).manual_seed(0)) if D.needs_z else None
        if degrade:
            x, bits = D(x, severity, z), 24
            if evaluation.sees_files(R):
                x, bits = data.eight_bits(x), 8
        elif sampler != "direct":
            looks.check_told(path, D, R.config.degradation)
        eps = max(FLOAT32, EIGHT_BITS * 2.0 ** (8 - bits))
        z = D.infer(x, None, severity) if D.blind else z
        known = z if degrade or D.blind else None
        looks.warn_of_rounding(path, x, bits, severity)
        if not looks.warn_of_detail(path, x, D, severity, eps, known):
            looks.tell_where(path, x, D, severity, known)
        states, degraded = [(severity, pictures.small(x))], x
        walks = sampler != "direct" and (degrade or sampler or looks.bears_a_walk(path, R, x, bits))
        walk, severities = (chosen, range(severity, -1, -1)) if walks else (sampling.naive, (severity, 0))  # one call
        steps = evaluation.precise(walk, eps)(told(R, eps=eps, z=known), D, x, z, severities)
        for r, x, _ in tqdm(steps, path.name, severity, leave=False, disable=None):
            states.append((r, pictures.small(x)))
        pictures.write_restored(out, path, x, states, (sampler or "improved") if walks else "direct")
        if degrade:
            pictures.tell_error(path, x0, {"degraded": degraded, "restored": x})


def sample(
    pretrained: str = "digits-blur",
    dataset: Text = None,
    start: str = "mixture",
    count: int = 32,
    components: Number = None,
    sigma: float = 0.0,
    temperature: Share = None,
    steps: Number = None,
    label: Number = None,
    guidance: float = 1.0,
    sampler: str = "improved",
    weight: Share = None,
    seed: int = 0,
    skip_unreadable: bool = False,
    out: Path = Path("samples"),
    device: Text = None,
):
    """Generate new images: draw what survives D at T, write it back as x_T, restore by a sampler. Writes pictures.

    By default a mixture is drawn from as was best on MNIST (chapter 6): many Gaussians, a low temperature, few calls.

    Args:
        pretrained: A name that comes with coldlab, a .safetensors file, or the folder of a run.
        dataset: Whose images the starts resemble; by default what the network was trained on.
        start: mixture (of all that survives D), mean (the channel means alone, as in the paper), or test: no new
            images, but held-out ones, degraded and restored by every sampler.
        count: How many images.
        components: Gaussians in the mixture; by default one for every 250 images, at most 80, and 1 for mean.
        sigma: White noise added to the starts, in units of [-1, 1]. The paper: 0 or 0.002.
        temperature: Below 1 the starts keep closer to the middle of their Gaussian: more typical, less varied. By
            default 0.75 for a mixture, otherwise 1.
        steps: Calls of the network per image, 1..T; by default 3 for a mixture, otherwise T.
        label: The class to make images of, for a network that was trained with --classes: its starts are drawn from
            what survives of that class, and it is told the class.
        guidance: How much it goes by the label: 0 not at all, 1 as it was trained, more to exaggerate.
        sampler: improved (Algorithm 2), naive (Algorithm 1) or averaged (Algorithm 2 on the mean of the predictions);
            also polyak, heun, consistent (chapter 10).
        weight: Of averaged: the weight of the newest prediction, above 0 and up to 1; by default 0.1.
        seed: Of all that is drawn.
        skip_unreadable: Leave out image files of the dataset that cannot be read, where one of them would be an error.
        out: Folder for the results.
        device: cpu, cuda, cuda:1, mps; by default a CUDA GPU where there is one, else the CPU.
    """
    if start not in STARTS:
        raise unknown("start", start, STARTS)
    outputs.spare(outputs.of_samples(out), outputs.network(pretrained))
    chosen = sampling.sampler(sampler, weight)
    R, D = model(pretrained, device)
    dataset = dataset or starts.images_of(R, pretrained)
    outputs.spare(outputs.of_samples(out), starts.inputs(R.config, dataset))
    if label is None and guidance != 1:
        raise ColdlabError(f"--guidance {guidance}, and no --label to go by; give one.")
    if label is not None and start == "test":
        raise ColdlabError("--start test restores images as they are; leave --label out.")
    mixed = start == "mixture" and isinstance(D, Separable)
    if components is not None and (start == "test" or not isinstance(D, Separable)):
        raise ColdlabError(f"--components {components}, and no mixture is drawn from here; leave it out.")
    if start == "test" and (temperature is not None or sigma):
        raise ColdlabError("--start test draws nothing; leave --temperature and --sigma out.")
    if steps is None:
        steps = min(3, D.T) if mixed else D.T
    severities = sampling.evenly(D.T, steps)
    images, labels = evaluation.labelled_for(R, dataset, "test" if start == "test" else "train", skip_unreadable)
    if start == "test":
        pictures.write_comparison(R, D, images[:count], severities, chosen, out)
        return
    if label is not None:
        by_label = further.asked(R, label, guidance)
        R, images = by_label, images[starts.classes_of(labels, dataset, R.config) == label]
    keep, few = (1, 1) if start == "mean" else (None, min(len(images), generation.ENOUGH) // generation.PER_GAUSSIAN)
    prior = generation.prior_of(D, images, keep=keep, components=components or max(1, few), seed=seed)
    if temperature is None:
        temperature = 0.75 if mixed else 1.0
    drawn = dict(count=count, seed=seed, sigma=sigma, temperature=temperature)
    pictures.write_generated(R, prior, drawn, severities, chosen, out)
    if isinstance(prior, generation.Prior):
        print(f"drawn from a mixture of {prior.mixture.n_components} over {prior.mixture.n_features_in_} numbers")


def evaluate(
    pretrained: str = "digits-blur",
    dataset: Text = None,
    limit: Number = None,
    batch: int = 256,
    features: Text = None,
    resamples: int = 1000,
    sampler: tuple[str, ...] = (),
    weight: Share = None,
    skip_unreadable: bool = False,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
    device: Text = None,
):
    """RMSE, PSNR, SSIM and a Fréchet distance of degraded images and of restored ones, on the test set.

    Args:
        pretrained: A name that comes with coldlab, a .safetensors file, or the folder of a run.
        dataset: Whose test images; by default what the network was trained on.
        limit: Use only the first images.
        batch: Images at a time.
        features: Net of the Fréchet distance: digits, mnist, cifar10 (classifiers that ship), efficientnet (needs
            coldlab[judges]), inception (FID; needs coldlab[fid]), a file of Inception weights, or none. By default the
            dataset's own classifier, if there is one.
        resamples: Draws of the bootstrap over images for the 95 % intervals; 0 for none.
        sampler: Which samplers; by default naive (Algorithm 1), improved (Algorithm 2), averaged. There are also
            polyak, heun and consistent (chapter 10).
        weight: Of averaged: the weight of the newest prediction, above 0 and up to 1; by default 0.1.
        skip_unreadable: Leave out image files of the dataset that cannot be read, where one of them would be an error.
        json_: Print JSON instead of a table.
        device: cpu, cuda, cuda:1, mps; by default a CUDA GPU where there is one, else the CPU.
    """
    samplers = sampling.samplers(sampler, weight)
    R, D = model(pretrained, device)
    name = dataset or starts.images_of(R, pretrained)
    net = net_for(features, name, device_of(R))  # before the restoration, which takes long
    images = evaluation.images_for(R, name, "test", skip_unreadable)[:limit]
    few = net is not None and len(images) <= net.dim
    rounded = evaluation.sees_files(R)
    rows = evaluation.restored(R, D, images, batch, rounded, samplers=samplers)
    values, intervals = evaluation.table(rows, None if few else net, resamples)
    note = f"no {metrics.frechet_name(net)}: {len(images)} images for {net.dim} features are too few" if few else None
    if json_:
        report = {"pretrained": pretrained, "dataset": name, "images": len(images), "metrics": values}
        report |= {"intervals": intervals} if resamples else {}
        print(json.dumps(report | ({"note": note} if few else {}), indent=1))  # ASCII, for any console
        return
    print(f"{pretrained} on {len(images):,} test images of {name}, {R.config.degradation} with T = {D.T}")
    if rounded:
        print("x_T rounded to 8 bits first: this network was trained on such images")
    print("\n".join(evaluation.lines(values, intervals)))
    if resamples:
        print(f"Below each value: its 95 % interval over images ({resamples:,} bootstrap draws).")
    if few:
        print(note)


def net_for(features, dataset, device):
    """The net of the Fréchet distance that --features names."""
    if features == "none" or (features is None and metrics.classifier_for(dataset) is None):
        return None
    if features == "efficientnet":
        return judges.efficientnet(device)
    if features == "inception" or (features and Path(features).suffix in (".pth", ".pt")):
        return metrics.inception(None if features == "inception" else features, device)
    return metrics.classifier(metrics.classifier_for(dataset) if features is None else features, device)


def degradations():
    """Print every degradation by name: what it does, its settings and their defaults."""
    for name, cls in sorted(REGISTRY.items()):
        settings = ", ".join(f"{key}={value!r}" for key, value in settings_of(cls).items())
        print(f"{name:12s} {' '.join((inspect.getdoc(cls) or '').partition(chr(10) * 2)[0].split())}")
        print(f"{'':12s} {settings or 'two or more of the others, joined by a plus: blur+mask, with blur.T=40'}")


def settings_of(cls):
    """{setting: default} of a degradation's class, without its size."""
    return {field.name: field.default for field in dataclasses.fields(cls) if field.name not in ("size", "parts")}


def presets():
    """Print the paper's experiments by name: data, degradation, and what the authors trained."""
    for name, p in PRESETS.items():
        options = ", ".join(f"{key}={value}" for key, value in p.options.items())
        print(f"{name:20s} {p.size:4d} px  {p.degradation}({options})")
        spent = f"{p.network}, {p.budget}" if p.network else "ours, not in the paper"
        print(f"{'':20s} {'':7s}  {spent}" + ("" if p.dataset else "; give its folder with --dataset"))
    print("\nTrain one: python -m coldlab train --dataset mnist --degradation blur")


def model(pretrained, device):
    R = checkpoints.load_pretrained(pretrained, pick_device(device))
    return R, R.D


def severity_of(severity, D):
    severity = D.T if severity is None else severity
    if not 1 <= severity <= D.T:
        raise ColdlabError(f"--severity {severity}; this network knows 1..{D.T}.")
    return severity


COMMANDS = (train, sample, restore, evaluate, commands.reproduce, commands.bench, degradations, presets)


def main(arguments=None):
    """Run one command; returns the exit code."""
    words = at_home(sys.argv[1:] if arguments is None else arguments)
    commands = {command.__name__: command for command in COMMANDS}
    known = {name: limits.checked(command) for name, command in commands.items()}
    known["train"] = functools.partial(known["train"], words)
    described = "Cold diffusion for any image transform. Each command has its own --help."

    def run():
        if words and words[0] in commands:
            limits.spelled(commands[words[0]], words)
        return tyro.extras.subcommand_cli_from_dict(
            known,
            prog="coldlab",
            description=described,
            args=words,
            config=(tyro.conf.FlagCreatePairsOff,),
            registry=KEY_VALUES,
        )

    return answered(run)


if __name__ == "__main__":
    sys.exit(main())
