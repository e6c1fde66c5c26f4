"""A long run from a notebook: where it is kept, how long it will take, and how it goes on.

The idea that holds this file together: a notebook's machine may vanish in the middle of a run. So the folder of the run
outlives it, and the cell that began the run is the cell that goes on with it.
"""

import dataclasses
from pathlib import Path

import torch

from .. import checkpoints
from ..errors import ColdlabError
from ..training import Config, bfloat16_pays
from . import runs
from .experiments import seconds_a_step
from .machine import cpu_name, pick_device

DRIVE = Path("/content/drive")  # where Colab puts its user's Drive


def run(config, name, device=None):
    """Train by `config` into `folder(name)`, or go on with the run that is there; returns the folder.

    Says where it is kept, on what it runs and about how long it takes. Called again after an interruption, in another
    session too, it goes on bit for bit; a finished run is left as it is, unless config.steps has grown. Raises
    ColdlabError where the run that is there was made with other settings than those that config names.
    """
    out, device = folder(name), pick_device(device)
    print(f"Kept in {out}.")
    begun, taken = bool(checkpoints.states(out)), 0
    if begun:
        _, state, _ = checkpoints.newest_state(out)
        taken = state.step
        del state  # its memory is the run's
    if taken < config.steps:
        print(f"{hardware(device)} {duration(config, device, taken)}")
    every = max(1, min(1000, config.steps // 10))  # each time some 20 MB, on Drive over a network
    named = [f.name for f in dataclasses.fields(config) if getattr(config, f.name) != getattr(Config(), f.name)]
    options = runs.Options(save_every=every, log_every=max(1, every // 10))
    return runs.run(config, out, resume=begun, device=device, options=options, named=named)


def folder(name):
    """Where a run called `name` is kept: in Colab coldlab/NAME on its user's Drive, anywhere else runs/NAME.

    Colab asks for leave first. Where it gets none, the run is kept on Colab's machine, and a line says so.
    """
    if Path(name).name != name or name in ("", ".."):
        raise ColdlabError(f"{name!r} is no name for a run; give one without slashes, such as mnist-blur.")
    try:
        from google.colab import drive
    except ImportError:
        return Path("runs") / name
    try:
        drive.mount(str(DRIVE))
    except Exception as error:  # whatever Colab raises where leave is refused; it has changed before
        print(f"Drive is not there ({str(error) or type(error).__name__}): the run ends with this machine.")
        return Path("runs") / name
    return DRIVE / "MyDrive" / "coldlab" / name


def hardware(device):
    """What it runs on, in a sentence; on a CPU also how Colab gives a GPU."""
    if device.type == "cpu":
        threads = torch.get_num_threads()
        cores = f"{threads} thread{'s' * (threads > 1)} of {cpu_name()}"
        return f"No GPU is used, but {cores} (in Colab: Runtime, Change runtime type, GPU)."
    if device.type != "cuda":
        return f"On {device}, in float32."
    kind = "bfloat16" if bfloat16_pays(device) else "float32, since it has no bfloat16 of its own"
    return f"On a GPU, {torch.cuda.get_device_name(device)}, in {kind}."


def duration(config, device, taken=0):
    """How long the steps after `taken` take, in a sentence: a few are tried."""
    minutes = (config.steps - taken) * seconds_a_step(config, device) / 60
    told = f"about {minutes:.0f} minutes" if minutes < 90 else f"about {minutes / 60:.1f} hours"
    told = told if minutes > 1.5 else "about a minute or less"
    return f"{config.steps - taken:,} steps of {config.batch} images take {told}."
