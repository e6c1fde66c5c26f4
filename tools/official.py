"""The paper's official deblurring code, run from a copy that you have, timed beside ours.

    python tools/official.py CLONE                     # a clone of github.com/arpitbansal297/Cold-Diffusion-Models
    python tools/official.py CLONE --dataset celeba    # any setting of `python -m coldlab bench`

The idea that holds this file together: the same work with the same settings, done by their functions as their trainer
calls them. Nothing of theirs is in this repository; what their imports lack here is stood in for while they run. It
executes the code in CLONE.
"""

import contextlib
import copy
import io
import json
import sys
import types
from functools import partial
from pathlib import Path
from typing import Annotated

import console
import torch
import tyro

from coldlab import ColdlabError
from coldlab.__main__ import KEY_VALUES, answered
from coldlab.degradations import Blur
from coldlab.degradations.kernels import gaussian_taps
from coldlab.lab import bench
from coldlab.lab.machine import pick_device
from coldlab.training import Config

ROUTINES = {  # (schedule, padding) of our Blur -> their name for it
    ("constant", "circular"): "Constant",
    ("constant", "reflect"): "Constant_reflect",
    ("incremental", "circular"): "Incremental",
    ("exponential", "circular"): "Exponential",
    ("exponential", "reflect"): "Exponential_reflect",
    ("special_6", "reflect"): "Special_6_routine",
}


class Official:
    """Their model of one blur D, with their U-Net (or `net`), ready for a blur, a training step and a sampling pass.

    path: a checkout of github.com/arpitbansal297/Cold-Diffusion-Models. Raises ColdlabError where it cannot be used.
    """

    def __init__(self, path, D, channels, device, net=None, lr=2e-5):
        if not isinstance(D, Blur) or (D.schedule, D.padding) not in ROUTINES:
            raise ColdlabError("the official code can be timed on the paper's blurs only: use --degradation blur.")
        self.code, self.device, self.steps = load(path), device, 0
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            net = net or self.code.Unet(dim=64, dim_mults=(1, 2, 4, 8), channels=channels)
        self.model = self.code.GaussianDiffusion(
            net.to(device),
            image_size=D.size,
            device_of_kernel=device.type,
            channels=channels,
            timesteps=D.T,
            kernel_std=D.std,
            kernel_size=D.kernel,
            blur_routine=ROUTINES[D.schedule, D.padding],
            sampling_routine="x0_step_down",
            discrete=D.discrete,
        ).to(device)
        self.average, self.ema = copy.deepcopy(self.model), self.code.EMA(0.995)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)

    def blur(self, x0, t):
        """D(x0, t), t (B,) in 1..T."""
        return self.model.q_sample(x0, t - 1)

    def train(self, x0):
        """One step of their trainer on a batch at hand: no files are read, which is to their advantage."""
        loss = torch.mean(self.model(x0))
        loss.item()  # they add it up on the host
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.steps % 10 == 0:
            self.ema.update_model_average(self.average, self.model)
        self.steps += 1

    def sample(self, x0):
        """x0 blurred and restored by Algorithm 2."""
        cuda = torch.Tensor.cuda
        if self.device.type != "cuda":
            torch.Tensor.cuda = lambda x, *rest: x  # they call it on every step
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return self.model.sample(batch_size=len(x0), img=x0)[2]
        finally:
            torch.Tensor.cuda = cuda


def load(path):
    """Their module. comet_ml, which only reports, and torchgeometry, of which they use one kernel, may be missing."""
    folder = Path(path).expanduser() / "deblurring-diffusion-pytorch"
    file = folder / "deblurring_diffusion_pytorch" / "deblurring_diffusion_pytorch.py"
    if not file.is_file():
        raise ColdlabError(
            f"{path} holds no deblurring-diffusion-pytorch; give a clone of the paper's code, "
            "github.com/arpitbansal297/Cold-Diffusion-Models."
        )
    comet, geometry = types.ModuleType("comet_ml"), types.ModuleType("torchgeometry")
    comet.Experiment, geometry.image = object, types.SimpleNamespace(get_gaussian_kernel2d=kernel)
    spare = {"comet_ml": comet, "torchgeometry": geometry}
    added = {name: module for name, module in spare.items() if not importable(name)}
    module = types.ModuleType("official_deblurring")
    module.__file__ = str(file)
    sys.modules.update(added)
    try:
        exec(compile(file.read_text(encoding="utf-8"), file, "exec"), module.__dict__)
    except Exception as error:  # whatever their imports and ours disagree about
        raise ColdlabError(f"the official code in {path} does not import ({error}).") from None
    finally:
        for name in added:
            del sys.modules[name]
    return module


def importable(name):
    import importlib.util

    return name in sys.modules or importlib.util.find_spec(name) is not None


def kernel(size, std):
    """torchgeometry's get_gaussian_kernel2d, by our taps."""
    return torch.outer(gaussian_taps(size[0], std[0]), gaussian_taps(size[1], std[1])).float()


def main(
    clone: Annotated[Path, tyro.conf.Positional],
    config: Annotated[Config, tyro.conf.arg(name="")] = Config(),  # noqa: B008  (frozen)
    options: Annotated[bench.Options, tyro.conf.arg(name="")] = bench.Options(),  # noqa: B008  (frozen)
    device: str = "cpu",
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
):
    """Time D, a training step and a sampling pass, ours and theirs in turn, with the paper's network for both."""
    report = bench.measure(config, options, pick_device(device), partial(Official, clone))
    report["command"] = " ".join(["python tools/official.py CLONE", *sys.argv[2:]])
    print(json.dumps(report, indent=1) if json_ else bench.table(report))


def run():
    """Carry out the command line; returns the exit code."""
    return answered(lambda: tyro.cli(main, registry=KEY_VALUES, config=(tyro.conf.FlagCreatePairsOff,)))


if __name__ == "__main__":
    console.degrade()
    sys.exit(run())
