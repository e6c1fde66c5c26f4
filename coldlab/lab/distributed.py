"""Several processes that train one network: `torchrun --nproc-per-node N -m coldlab train`, on one machine or on many.

The idea that holds this file together: N processes take the step that one would take, each with its share of the batch.
Only the first writes, and whatever ends a run ends it in all of them at the same step.
"""

import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ..errors import ColdlabError
from .machine import pick_device


@dataclass(frozen=True)
class Group:
    """This process: its device, and its rank, 0..ranks-1, among those that train together."""

    device: torch.device
    rank: int = 0
    ranks: int = 1

    @property
    def first(self):
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def wrap(self, R):
        """R with its gradients averaged over the processes, or None where there is one process only."""
        if self.ranks == 1:
            return None
        devices = [self.device] if self.device.type == "cuda" else None
        with warnings.catch_warnings(action="ignore"):  # newer torch renames the switch, older knows this name only
            return DistributedDataParallel(R, device_ids=devices, broadcast_buffers=False)  # D's tables never change

    def share(self, batch):
        """How many of `batch` images are this process's."""
        if batch % self.ranks:
            raise ColdlabError(f"--batch {batch} cannot be shared by {self.ranks} processes; use a multiple of that.")
        return batch // self.ranks

    def mean(self, value):
        """The mean of a tensor over the processes."""
        return self.reduce(value, distributed.ReduceOp.SUM) / self.ranks

    def least(self, value):
        """The least of a tensor over the processes."""
        return self.reduce(value, distributed.ReduceOp.MIN)

    def any(self, flag):
        """Whether any of the processes says so."""
        flag = torch.tensor(0.0 if flag else 1.0, device=self.device)
        return self.least(flag).item() == 0

    def reduce(self, value, how):
        if self.ranks > 1:
            value = value.clone()
            distributed.all_reduce(value, how)
        return value


@contextmanager
def group(device=None):
    """The Group that torchrun has started, joined until the block ends; outside torchrun this process alone."""
    ranks = launched()
    if ranks == 1:
        yield Group(pick_device(device))
        return
    if device == "cuda" or (device is None and torch.cuda.is_available()):
        device = f"cuda:{os.environ['LOCAL_RANK']}"  # one GPU each
    device = pick_device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())[:150]
        raise ColdlabError(f"the {ranks} processes could not join ({why}); start them with torchrun.") from None
    try:
        yield Group(device, distributed.get_rank(), ranks)
    finally:
        distributed.destroy_process_group()


def launched():
    """How many processes torchrun has started to train together; 1 outside it."""
    told = {
        name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    }
    if told["WORLD_SIZE"] in ("", "1"):
        return 1
    missing = [name for name in told if not (told[name] if name == "MASTER_ADDR" else told[name].isdecimal())]
    if missing or not int(told["RANK"]) < int(told["WORLD_SIZE"]):
        wrong = ", ".join(f"{name}={told[name]}" for name in missing or ("RANK",))
        why = f"WORLD_SIZE={told['WORLD_SIZE']} says that several processes train together, and {wrong} does not fit"
        raise ColdlabError(f"{why}; start them with torchrun, or unset WORLD_SIZE.")
    return int(told["WORLD_SIZE"])


def reports():
    """Whether this process is the one that reports: of several the first."""
    return launched() == 1 or os.environ["RANK"] == "0"
