"""How a run begins, and how it goes on: with its settings, on its images, to its end or beyond.

The idea that holds this file together: a run is its settings and its images. Both are written down when it begins; what
goes on later with others is another run, so a difference is told and never passed over.
"""

import dataclasses
import json
import warnings
from pathlib import Path

import torch

from .. import checkpoints, data, storage
from ..degradations import family
from ..errors import ColdlabError
from ..presets import resolve
from ..training import learning_rate, start
from . import outputs
from .machine import machine


def prepare(config, skip_unreadable=False):
    """(config, images uint8): the config completed from its preset and its data, and the training images."""
    config, images, _ = completed(config, skip_unreadable)
    return config, images


def completed(config, skip_unreadable):
    """`prepare` with the labels of the images beside them, (N,) or None."""
    config = resolve(config)
    images, labels = data.load(config.dataset, "train", config.size, config.zoom, skip_unreadable)
    height, width = images.shape[-2:]
    if height != width:
        raise ColdlabError(
            f"the images of {config.dataset} are {width} x {height}; make them square, such as --size 64."
        )
    if config.channels not in (None, images.shape[1]):
        kind, fix = data.KINDS[images.shape[1]], "leave --channels out"
        if config.pretrained is not None:
            fix = f"begin with another network than {config.pretrained}"
        raise ColdlabError(f"--channels {config.channels}, and {config.dataset} is {kind}; {fix}.")
    return dataclasses.replace(config, size=width, channels=images.shape[1]), images, labels


def classes_of(labels, where, config):
    """The labels (N,) of the images at `where`; ColdlabError where there are none, or more than config.classes."""
    begun = None if config.pretrained is None else f"begin with another network than {config.pretrained}"
    if labels is None:
        fix = begun or "leave it out"
        raise ColdlabError(f"--classes {config.classes}, and the images of {where} have no labels; {fix}.")
    if (most := int(labels.max()) + 1) > config.classes:
        fix = begun or "give that number"
        raise ColdlabError(f"--classes {config.classes}, and the images of {where} have {most}; {fix}.")
    return labels


def begin(config, out, group, skip_unreadable, named=()):
    """(D, State, Config, images, labels, where they lie) of a new run; refuses a folder that holds one already.

    named: the settings that were asked for; where the run begins with a network, the others are the network's.
    """
    R = None
    if config.pretrained is not None:
        first = beginning(config.pretrained, out)
        R = checkpoints.load_pretrained(first)
        outputs.spare(outputs.of_run(out), outputs.network(first))
        config = inherited(config, R.config, named)
    outputs.spare(outputs.of_run(out), inputs(config, config.dataset))
    there = [path.name for path in (*checkpoints.states(out), *out.glob("model.safetensors"))]
    if there:
        raise ColdlabError(f"{out} already holds a run ({there[0]}); add --resume to go on, or choose another --out.")
    group.share(config.batch)
    config, images, labels = completed(config, skip_unreadable)
    D, state = start(config, group.device)
    for module in (state.R, state.ema) if R is not None else ():
        try:
            module.load_state_dict(R.state_dict())
        except RuntimeError:
            told = f"{config.pretrained} undoes {R.config.degradation}, and to undo {config.degradation} "
            told += "takes other inputs; leave --degradation out, or --pretrained."
            raise ColdlabError(told) from None
    return D, state, config, images, labels, config.dataset


BUILT = ("width", "mults", "attention", "patch", "residual", "precondition", "padding", "classes", "refine")
OWN = ("pretrained", "steps", "seed")  # what a run does not have from the network that it begins with


def beginning(pretrained, out):
    """What `load_pretrained` finds a run's first network by: a name may also be that of a run's folder beside `out`."""
    neighbour = Path(out).parent / pretrained
    return neighbour if pretrained not in checkpoints.pretrained() and neighbour.is_dir() else Path(pretrained)


def inherited(config, network, named):
    """The config with the network's settings wherever none was named; ColdlabError where it names another network."""
    changed = [k for k in BUILT if k in named and getattr(config, k) != getattr(network, k)]
    if changed:
        told = ", ".join(f"{k}: {getattr(network, k)}, not {getattr(config, k)}" for k in changed)
        raise ColdlabError(f"{config.pretrained} is built otherwise ({told}); leave that out, or --pretrained.")
    kept = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name in (*OWN, *named)}
    if "degradation" in kept and "options" not in kept:
        kept["options"] = {}
    if "options" in kept and kept.get("degradation", network.degradation) == network.degradation:
        kept["options"] = network.options | kept["options"]
    return dataclasses.replace(network, **kept)


def go_on(config, out, group, skip_unreadable, named):
    """The same of a run that goes on from its newest whole checkpoint.

    named: the settings that were asked for. They must be those of the run, but for two: dataset, where its images are
    now, and steps, its new end.
    """
    D, state, before = checkpoints.newest_state(out, group.device)
    if group.first:
        for kind in (*outputs.RUN, *outputs.STEPS):
            for part in out.glob(f".{kind}.*.part"):  # what a kill in the middle of writing has left
                part.unlink(missing_ok=True)
    wanted = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name in named}
    place, steps = wanted.pop("dataset", None), wanted.pop("steps", before.steps)
    if "options" in wanted:
        wanted["options"] = before.options | wanted["options"]
    changed = [f"{k}: was {getattr(before, k)}, now {v}" for k, v in wanted.items() if v != getattr(before, k)]
    if changed:
        told = ", ".join(changed)
        raise ColdlabError(f"the run in {out} was made with other settings ({told}); leave them out, or change --out.")
    if steps != before.steps and steps <= state.step:
        why = f"the run in {out} has taken {state.step} steps"
        raise ColdlabError(f"{why}, --steps {steps} would end before; give more, or leave --steps out.")
    group.share(before.batch)
    images, labels, where = found(before, out, place, skip_unreadable)
    check_beside(before, out, classes_of(labels, where, before) if before.classes else None)
    outputs.spare(outputs.of_run(out), inputs(before, where))
    after = dataclasses.replace(before, steps=steps, dataset=place or before.dataset)
    if steps != before.steps and group.first:
        checkpoints.save_state(out / f"step-{state.step:07d}.pt", state, after)  # a kill forgets nothing that was asked
        old, new = (learning_rate(c, state.step) for c in (before, after))
        told = f"{before.steps} steps become {steps}: from step {state.step} on the learning rate is that of a run of "
        print(f"{told}{steps} steps, {new:.2g} there instead of {old:.2g}, and falls to zero at its end.")
    return D, state, after, images, labels, where


def found(config, out, place, skip_unreadable):
    """(images, labels, where they lie) of a run: at `place`, else where it began with them, else by config.dataset.

    Raises ColdlabError where they are not there, and where they are others than those it began with.
    """
    known = origin(out)
    places = [place] if place else list(dict.fromkeys(p for p in (known.get("path"), config.dataset) if p))
    there = [p for p in places if outputs.by_name(p) or Path(p).expanduser().exists()]
    if not there and not place:
        was = f" at {known['path']}" if known.get("path") else ""
        raise ColdlabError(f"the images of the run in {out}, {config.dataset}, are no more{was}; name their --dataset.")
    for at in there or places:
        images, labels = data.load(at, "train", config.size, config.zoom, skip_unreadable)
        why = difference(images, known, config)
        if why is None:
            return images, labels, at
    fix = "bring those back, say with --dataset where they are, or begin a new run in another --out"
    raise ColdlabError(f"the images in {at} are not those of the run in {out} ({why}); {fix}.")


def difference(images, known, config):
    """In what uint8 images differ from those that a run knows, in words; None where they do not."""
    if images.shape[1:] != (config.channels, config.size, config.size):
        shapes = [f"{c} x {h} x {w}" for c, h, w in (images.shape[1:], (config.channels, config.size, config.size))]
        return f"{shapes[0]} numbers each, not {shapes[1]}"
    if "fingerprint" not in known:
        warnings.warn(
            "config.json does not say which images the run began with; these are taken for them.", stacklevel=2
        )
        return None
    count, now = known["training"] + known["held_out"], data.fingerprint(images)
    if now == known["fingerprint"]:
        return None
    return f"{len(images)}, fingerprint {now}, not {count}, fingerprint {known['fingerprint']}"


def inputs(config, *datasets):
    """Where everything lies that is read: these datasets, and the images that D mixes in."""
    return [path for name in (*datasets, *mixed_in(config.options)) for path in outputs.images(name)]


def mixed_in(options):
    """The datasets that D reads itself, in order: the `into` of animorph, also of one that is part of a composition."""
    return [
        name for key, name in options.items() if key.rpartition(".")[2] == "into" and isinstance(name, str) and name
    ]


def beside(config, labels):
    """{what: fingerprint} of what a run learns from beside its images: what D mixes in, and labels (N,) or None."""
    mixed = {name: family.images_of(name, config.size) for name in mixed_in(config.options)}  # as D reads them, once
    found = {f"the images of {name}": data.fingerprint(images) for name, images in mixed.items()}
    if labels is not None:
        found["the labels"] = data.fingerprint(labels.cpu().int().view(torch.uint8).reshape(-1, 4, 1, 1))
    return found


def check_beside(config, out, labels):
    """Raise ColdlabError where something that a run learns from beside its images is not what it began with."""
    known = origin(out).get("beside", {})
    changed = [what for what, now in beside(config, labels).items() if known.get(what, now) != now]
    if changed:
        told = f"{' and '.join(changed)} are not those of the run in {out}"
        raise ColdlabError(f"{told}; bring those back, or begin a new run in another --out.")


KNOWN = {"beside": dict, "training": int, "held_out": int, "fingerprint": str, "path": str, "skip_unreadable": bool}


def origin(out):
    """What config.json says of a run's images; nothing where there is none that can be read, or by other hands."""
    try:
        known = json.loads((Path(out) / "config.json").read_text(encoding="utf-8"))["images"]
        known = {key: known[key] for key, kind in KNOWN.items() if isinstance(known.get(key), kind)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    if not {"training", "held_out"} <= known.keys():
        known.pop("fingerprint", None)  # it is told with its count
    return known


def images_of(R, pretrained):
    """The dataset that a network was trained on: for a run, where its images were then or lie as they were named."""
    path = None if str(pretrained) in checkpoints.pretrained() else origin(pretrained).get("path")
    return path if path and Path(path).exists() else R.config.dataset


def write_config(out, config, group, pool, skip_unreadable):
    """config.json: the settings, the images, and the machine and versions they ran on."""
    path = None if outputs.by_name(pool.where) else str(Path(pool.where).expanduser().resolve())
    content = {
        "config": dataclasses.asdict(config),
        "images": {
            "training": len(pool.among),
            "held_out": len(pool.held),
            "fingerprint": data.fingerprint(pool.images),
            "beside": beside(config, pool.labels),
            "path": path,
            "skip_unreadable": skip_unreadable,
        },
        "machine": machine(group.device) | {"processes": group.ranks},
    }
    storage.write_json(out / "config.json", content)
