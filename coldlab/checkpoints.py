"""What a run leaves on disk: resumable states (.pt) and weights to use and publish (.safetensors).

The idea that holds this file together: a file is either whole or refused. Each carries a digest of its own contents,
checked before anything in it is used.
"""

import dataclasses
import hashlib
import io
import json
import re
import warnings
from pathlib import Path

import torch

from .errors import ColdlabError, unknown
from .storage import WEIGHTS, read, refused, sealed, unsealed, write
from .training import Config, build, start

SEAL = b"coldlab\n"  # after a .pt file's zip archive: this, then the SHA-256 of the archive


def save_state(path, state, config):
    """Everything a run needs to go on: weights, averages, optimiser, step, best loss, config."""
    content = {
        "config": json.dumps(dataclasses.asdict(config)),
        "step": state.step,
        "best": state.best,
        "R": state.R.state_dict(),
        "ema": state.ema.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }
    archive = io.BytesIO()
    torch.save(content, archive)
    archive = archive.getvalue()
    write(path, archive + SEAL + hashlib.sha256(archive).digest())


def load_state(path, device="cpu"):
    """(D, State, Config) from a file of `save_state`. Anything else is refused with a reason, before it is parsed."""
    content = read(path)
    archive, seal = content[: -len(SEAL) - 32], content[-len(SEAL) - 32 :]
    if not seal.startswith(SEAL):
        raise ColdlabError(f"{path} is not a whole coldlab checkpoint: it was cut short or comes from another program.")
    if hashlib.sha256(archive).digest() != seal[len(SEAL) :]:
        raise ColdlabError(f"{path} is damaged: its contents do not match their SHA-256.")
    try:
        content = torch.load(io.BytesIO(archive), map_location=device, weights_only=True)
        config = config_from(json.loads(content["config"]), path)
        D, state = start(config, device)
        state.R.load_state_dict(content["R"])
        state.ema.load_state_dict(content["ema"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.step, state.best = int(content["step"]), float(content["best"])
    except Exception as error:  # whatever a foreign or hostile content provokes
        raise refused(path, error) from None
    return D, state, config


def states(folder):
    """The checkpoints in a run's folder, step-NUMBER.pt, from the oldest to the newest; no other file is one."""
    found = {path: re.fullmatch(r"step-(\d+)\.pt", path.name) for path in Path(folder).glob("step-*.pt")}
    return sorted((path for path, step in found.items() if step), key=lambda path: int(found[path][1]))


def newest_state(folder, device="cpu"):
    """(D, State, Config) from the newest whole checkpoint of a run's folder; damaged ones are told and passed over."""
    reasons = []
    for path in reversed(states(folder)):
        try:
            return load_state(path, device)
        except ColdlabError as error:
            reasons.append(str(error))
            warnings.warn(f"skipped: {error}", stacklevel=2)
    raise ColdlabError(" ".join([f"{folder} holds no whole checkpoint.", *reasons[:1]]))


def config_from(values, path):
    """A Config from its JSON form; fields that this version does not know are an error, not a guess."""
    known = {field.name for field in dataclasses.fields(Config)}
    for name in set(values) - known:
        raise unknown(f"setting in {path}", name, known)
    return Config(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


# -------------------------------------------------------------------------------------------------- weights to use


def save_weights(path, R, config, half=False):
    """Weights as safetensors, in half precision if so wished, with the config and a digest of all as metadata."""
    kind = torch.float16 if half else torch.float32
    tensors = {name: value.to("cpu", kind).contiguous() for name, value in R.state_dict().items()}
    write(path, sealed(tensors, {"config": json.dumps(dataclasses.asdict(config))}))


def load_weights(path, device="cpu"):
    """R from a file of `save_weights`, ready to use: R.config is its Config, R.D its degradation."""
    content = read(path)
    try:
        tensors, metadata = unsealed(content)
        config = config_from(json.loads(metadata["config"]), path)
        D, R = build(config)
        R.load_state_dict({name: value.float() for name, value in tensors.items()})
    except Exception as error:  # whatever a foreign or hostile content provokes
        raise refused(path, error) from None
    return ready(R.to(device, memory_format=torch.channels_last), D.to(device), config)


def ready(R, D, config):
    """R for use: no gradients, with its config and its degradation beside it."""
    R = R.requires_grad_(False).eval()
    R.config, R.D = config, D
    return R


def pretrained():
    """The names that `load_pretrained` knows, DATASET-DEGRADATION."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors") if not path.stem.endswith("-classifier"))


def load_pretrained(name, device="cpu"):
    """R trained by us ("digits-blur"), or by you: a .safetensors file, a state (.pt), or a run's folder.

    R.config and R.D come with it.

    Of a run, also an unfinished one, the weights that did best on held-out images are taken; before there are any, the
    newest whole checkpoint. Raises ColdlabError for anything else.
    """
    path = Path(name)
    if str(name) in pretrained():
        return load_weights(WEIGHTS / f"{name}.safetensors", device)
    if path.is_dir() and (path / "model.safetensors").exists():
        return load_weights(path / "model.safetensors", device)
    if path.is_dir():
        D, state, config = newest_state(path, device)
        return ready(state.ema, D, config)
    if path.suffix == ".safetensors":
        return load_weights(path, device)
    if path.suffix == ".pt":
        D, state, config = load_state(path, device)
        return ready(state.ema, D, config)
    if path.parent != Path():
        raise ColdlabError(f"there is no folder or file {str(path)!r}; by name there are: {', '.join(pretrained())}.")
    raise unknown("checkpoint", str(name), pretrained())
