"""The commands of the apparatus: make a measured result again, and time this machine.

The idea that holds this file together: as in `coldlab.__main__`, a command is a function whose arguments are its flags.
"""

import json
from typing import Annotated

import torch
import tyro

from .. import sampling
from ..errors import ColdlabError
from ..training import Config
from . import bench as timings
from . import outputs
from . import reproduce as measured
from .machine import pick_device

Text = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]  # where None needs no telling
Number = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
Share = Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="")]


def bench(
    config: Annotated[Config, tyro.conf.arg(name="")] = Config(),  # noqa: B008  (frozen)
    options: Annotated[timings.Options, tyro.conf.arg(name="")] = timings.Options(),  # noqa: B008  (frozen)
    threads: Number = None,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
    device: Text = None,
):
    """Time D, a training step and a sampling pass on random images (tools/official.py: beside the paper's code).

    Args:
        threads: CPU threads; by default as many as torch takes.
        json_: Print JSON instead of a table.
        device: cpu, cuda, cuda:1, mps; by default a CUDA GPU where there is one, else the CPU.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    report = timings.measure(config, options, pick_device(device))
    print(json.dumps(report, indent=1) if json_ else timings.table(report))


def reproduce(
    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None,
    list_: Annotated[bool, tyro.conf.arg(name="list")] = False,
    judge: bool = False,
    budget: str = "full",
    out: Text = None,
    results: Text = None,
    sampler: tuple[str, ...] = (),
    weight: Share = None,
    device: Text = None,
):
    """Make a measured result again: train, restore the test images or generate, write the manifest and the figures.

    Started again, an interrupted run goes on where it stopped.

    Args:
        name: Which result; see --list.
        list_: Print what there is, what each costs, and what has been run.
        judge: Train nothing: judge the network NAME that ships again, and keep what its manifest says of the training.
        budget: full, or minutes of training such as 2m or 30m, for a shorter run under a name of its own.
        out: Folder of the run, by default runs/NAME; for a study of generation that of its networks' runs, runs.
        results: Folder of the manifest and the figures; by default results.
        sampler: Samplers to judge with, by default naive (Algorithm 1), improved (Algorithm 2), averaged; there are
            also polyak, heun and consistent (chapter 10).
        weight: Of averaged: the weight of the newest prediction, above 0 and up to 1; by default 0.1.
        device: cpu, cuda, cuda:1, mps; by default a CUDA GPU where there is one, else the CPU.
    """
    if list_:
        print("\n".join(measured.listing()))
        return
    if name is None:
        raise ColdlabError("name a result: python -m coldlab reproduce mnist-blur; --list prints them all.")
    written = outputs.of_result([out or "runs", measured.place(results)], name)
    outputs.spare(written, outputs.images("digits"))  # those of any named set
    samplers = sampling.samplers(sampler, weight)
    if (sampler or weight is not None) and name in {*measured.STUDIES, *measured.MEASUREMENTS}:
        raise ColdlabError(f"{name} is not judged by samplers; leave --sampler and --weight out.")
    path = measured.reproduce(name, budget, device, out, results, samplers, judge)
    print("\n".join(measured.lines(json.loads(path.read_text(encoding="utf-8")))))
    print(f"{path}; {path.with_suffix('.webp')}")
