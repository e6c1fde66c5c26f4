"""What a trajectory moves between devices: the entries of a table that it uses, never a table."""

from itertools import pairwise

import pytest
import torch
from helpers import CASES, SIZE, case, draw, images
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from coldlab.degradations import Blur, Separable
from coldlab.degradations.base import each
from coldlab.further import FURTHER
from coldlab.sampling import SAMPLERS, descending


class Moved(TorchDispatchMode):
    """Counts the bytes of every tensor that is copied from the host to another device while it is active."""

    def __init__(self):
        super().__init__()
        self.bytes, self.largest = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            source = args[1] if function.overloadpacket is torch.ops.aten.copy_ else args[0]
            if torch.is_tensor(out) and source.device.type == "cpu" and out.device.type != "cpu":
                size = source.numel() * source.element_size()
                self.bytes, self.largest = self.bytes + size, max(self.largest, size)
        return out


class Counted(torch.nn.Module):
    """A stand-in for R on the device meta, which has shapes and no values: x and, as Preconditioned, D's inverse."""

    wide = True  # the samplers hand it float64

    def __init__(self, D):
        super().__init__()
        self.D = D

    def forward(self, x, t):
        inverse = self.D.inverse(x, t)
        return x.clone() if inverse is None else inverse


def tables(D):
    """{name: entries} of every table of D, its parts' included."""
    own = [(D, name) for name in D.__dict__.get("exact", {})]
    return own + [found for part in getattr(D, "members", ()) for found in tables(part)]


def entry_bytes(D):
    """The bytes of one entry of each of D's tables in float64, its parts' and (where it has an inverse) U, g, V."""
    return sum(module.exact[name][0].numel() * 8 for module, name in tables(D))


def on_meta(name):
    """(D, x, z) on the device meta, as fresh as from a constructor: nothing was ever used there."""
    D = CASES[name]()
    x = images()
    z = draw(D, x)
    return D.to("meta"), x.to("meta"), each(lambda v: v.to("meta"), z)


def test_the_count_sees_a_copied_table():
    D = Blur(SIZE, 10).to("meta")
    whole = D.exact["A"].numel() * 8
    with Moved() as moved:
        D.exact["A"].to("meta")[3]
    assert moved.bytes == moved.largest == whole
    with Moved() as moved:
        D.exact["A"][3].to("meta")
    assert moved.bytes == whole / 11
    with Moved() as moved:
        torch.empty(SIZE, SIZE, device="meta").copy_(D.exact["A"][3])
    assert moved.bytes == whole / 11


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_trajectory_moves_the_entries_that_it_uses(name, sampler):
    D, x, z = on_meta(name)
    if sampler == "consistent" and D.inverse(x, D.T) is None:
        pytest.skip("nothing to be consistent with")
    R, severities = Counted(D), [D.T, D.T // 2, D.T // 4, 0] if D.T >= 8 else None
    steps = list(pairwise(descending(D, severities)))
    twice = 1 + (sampler in FURTHER)  # heun calls R twice a step, consistent inverts once more
    with Moved() as moved:
        *_, (r, end, _) = SAMPLERS[sampler](R, D, x, z, severities)
    assert r == 0
    assert end.shape == x.shape
    once = entry_bytes(D)  # U, g and V are among them by now, where D has an inverse
    assert moved.largest <= once
    assert moved.bytes <= once * (4 if D.blind else 3) * twice * len(steps)  # (reading z,) the inverse, D at s, D at r


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degrading_a_batch_of_mixed_severities_moves_no_table(name, dtype):
    D, x, z = on_meta(name)
    t = torch.arange(len(x)) % (D.T + 1)  # on the host, where the float64 tables are
    D.inverse(x.to(dtype), t)  # the first call in float32 brings its tables
    with Moved() as moved:
        D(x.to(dtype), t, z)
        D.inverse(x.to(dtype), t)
    severities = 16 * max(1, len(tables(D))) * t.numel()  # t itself, to where each table (or x) is, twice
    severities += 16 * t.numel() * D.blind  # once more, to read z off the images
    entries = (2 + D.blind) * len(x) * entry_bytes(D)
    assert moved.bytes <= severities + (entries if dtype == torch.float64 else 8 * t.numel())


@pytest.mark.parametrize("name", [name for name in CASES if isinstance(case(name), Separable)])
def test_float32_tables_of_the_inverse_come_when_they_are_used(name):
    """Three more tables on a GPU, for a sampler that works in float64 and never looks at them."""
    D = CASES[name]()
    x = images()
    exact = D.inverse(x.double(), D.T)
    assert {key for key, _ in D.named_buffers()} == {"A"}
    rounded = D.inverse(x, D.T)
    assert {key for key, _ in D.named_buffers()} == {"A", "U", "g", "Vt"}
    assert rounded.dtype == torch.float32
    assert exact.dtype == torch.float64
    D.double().half()
    assert all(buffer.dtype == torch.float32 for buffer in D.buffers())
    assert torch.equal(D.inverse(x, D.T), rounded)
    assert torch.equal(D.inverse(x.double(), D.T), exact)


def test_small_things_are_not_moved_at_every_call():
    """Severities and weights of colours are numbers: a copy of a few bytes stalls a GPU as a large one does."""
    for name in ("snow", "snow-dull", "compose-nested"):
        D, x, z = on_meta(name)
        with Moved() as moved:
            D(x, D.T, z)
        assert moved.bytes == 0, name


def test_leaves_of_a_tuple():  # what `each` moves
    assert [leaf.device.type for leaf in tree_leaves(on_meta("compose-nested")[2])].count("meta") == 4
