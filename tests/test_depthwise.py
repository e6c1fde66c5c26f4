"""Depthwise is nn.Conv2d, values and gradients, whichever way it takes."""

import pytest
import torch
from torch import nn

from coldlab import depthwise
from coldlab.depthwise import SMALL, Depthwise
from coldlab.unet import PADDINGS, UNet


def both(padding, dtype=torch.float64):
    torch.manual_seed(0)
    ours = Depthwise(6, 7).to(dtype)
    plain = nn.Conv2d(6, 6, 7, padding=3, groups=6, padding_mode=padding).to(dtype)
    plain.load_state_dict(ours.state_dict())
    ours.padding_mode = padding  # as UNet sets it
    return ours, plain


@pytest.fixture
def ways(monkeypatch):
    """[(height, width)] of the maps that went through matrices."""
    taken, through = [], depthwise.through
    monkeypatch.setattr(depthwise, "through", lambda h, w, *rest: taken.append((h, w)) or through(h, w, *rest))
    return taken


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (5, 11), (1, 1), (2, 3), (4, 17)])
def test_it_is_a_convolution_and_so_are_its_gradients(padding, shape, ways):
    if padding in ("reflect", "circular") and min(shape) < 4:
        pytest.skip(f"{padding} needs more pixels than it adds")
    ours, plain = both(padding)
    x = torch.randn(3, 6, *shape, dtype=torch.float64, requires_grad=True)
    grown = [torch.autograd.grad(layer(x).sin().sum(), [x, *layer.parameters()]) for layer in (ours, plain)]
    assert torch.allclose(ours(x), plain(x), atol=1e-12)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*grown, strict=True))
    assert bool(ways) == (shape[0] * shape[1] <= SMALL)


def test_float32_differs_by_rounding_and_another_default_device_changes_nothing(ways):
    ours, plain = both("replicate", torch.float32)
    x = torch.randn(3, 6, 3, 7)
    with torch.device("meta"):
        h = ours(x)
    assert ways == [(3, 7)]
    assert (h - plain(x)).abs().max() <= 1e-6 * h.abs().max()


def test_without_gradients_it_is_the_convolution_bit_for_bit(ways):
    ours, plain = both("zeros", torch.float32)
    x = torch.randn(3, 6, 4, 4)
    with torch.no_grad():
        assert torch.equal(ours(x), plain(x))
    assert ways == []
    assert Depthwise(2, 3).to("meta")(torch.empty(1, 2, 4, 4, device="meta")).device.type == "meta"


def test_the_network_takes_it_and_names_its_weights_as_ever(ways):
    R = UNet(1, 8, (1, 2), patch=4)
    assert {"down.0.0.look.weight", "down.0.0.look.bias"} <= set(R.state_dict())
    R(torch.zeros(1, 1, 16, 16), 1).sum().backward()
    assert set(ways) == {(4, 4), (2, 2)}
    assert R.last.look.weight.grad.abs().sum() > 0
