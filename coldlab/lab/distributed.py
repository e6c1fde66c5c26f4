"""Several processes that train one network: torchrun --nproc-per-node N -m coldlab train, on one machine or on many.

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
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    if ranks == 1:
        yield Group(pick_device(device))
        return
    if device == "cuda" or (device is None and torch.cuda.is_available()):
        device = f"cuda:{os.environ['LOCAL_RANK']}"  # one GPU each
    device = pick_device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(device, distributed.get_rank(), ranks)
    finally:
        distributed.destroy_process_group()
