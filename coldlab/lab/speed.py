"""How a network is made fast before it trains.

The idea that holds this file together: what is faster is decided on the machine at hand, and never changes a result
beyond rounding.
"""

import time

import torch

from ..errors import ColdlabError
from ..training import loss_of


def warm_up(state, D, x0, config):
    """Compile R and run it once on x0, forward and backward, without taking a step; returns the seconds it took."""
    began = time.perf_counter()
    getattr(state.R, "net", state.R).compile()
    try:
        loss = loss_of(state.parallel or state.R, D, x0, config, torch.Generator(x0.device).manual_seed(0))
        loss.backward()
        loss.item()  # waits for the device
    except torch._dynamo.exc.TorchDynamoException as error:
        why = " ".join(str(error).split())[:150]
        raise ColdlabError(f"the network could not be compiled ({why}); run without --compile.") from None
    state.optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - began
