"""Frames and stripes, made on purpose."""

import pytest
import torch

from coldlab import ColdlabError
from coldlab.metrics.artefacts import excess, ring, spot


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(40, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25


def test_an_even_error_leaves_no_ring(pictures):
    assert torch.isclose(ring(pictures + 0.03, pictures), torch.ones(()).double(), atol=1e-6)


def test_a_frame_is_seen(pictures):
    x = pictures + 0.02
    x[..., :5, :] = pictures[..., :5, :] + 0.06  # the upper edge alone
    share = 5 * 64 / (64**2 - 54**2)
    expected = (share * 9 + 1 - share) ** 0.5
    assert torch.isclose(ring(x, pictures), torch.tensor(expected).double(), rtol=1e-4)
    deep = pictures + 0.02
    deep[..., 20:40, 20:40] += 0.3  # far from the border: not looked at
    assert torch.isclose(ring(deep.clamp(0, 1), pictures), torch.ones(()).double(), atol=1e-3)


def test_equal_pictures_have_equal_power(pictures):
    assert torch.allclose(excess(pictures, pictures), torch.ones(2, 24).double())


@pytest.mark.parametrize("period", [4, 8, 16])
@pytest.mark.parametrize("along", [0, 1])
def test_stripes_are_seen_at_their_period_and_in_their_direction(pictures, period, along):
    wave = 0.05 * torch.cos(torch.arange(64) * 2 * torch.pi / period)
    found = excess(pictures + (wave if along == 0 else wave[:, None]), pictures)
    assert found[along].argmax() + 1 == 48 // period
    assert found[along].max() > 1.5
    assert found[1 - along].max() < 1.1


def test_a_softer_picture_has_less_power(pictures):
    soft = torch.nn.functional.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    assert excess(soft, pictures)[:, 15:].max() < 0.3


def test_too_small_pictures_are_told(pictures):
    with pytest.raises(ColdlabError, match="do not fit into 16 x 16"):
        ring(pictures[..., :16, :16], pictures[..., :16, :16])
    with pytest.raises(ColdlabError, match="48 pixels does not fit into 32 x 32"):
        excess(pictures[..., :32, :32], pictures[..., :32, :32])
    with pytest.raises(ColdlabError, match="two batches of one shape"):
        ring(pictures, pictures[:3])


def test_a_dot_stands_out_by_its_height():
    x = torch.full((3, 3, 16, 12), 0.5)
    x[1, 2, 7, 5] = 0.9  # one channel of one image
    x[2, :, 0, 0] = 1.0  # elsewhere
    assert spot(x, (7, 5)).tolist() == pytest.approx([0, 0.4, 0])
    assert spot(x, (7, 5)).dtype == torch.float64
    assert spot(x, (8, 6)).tolist() == pytest.approx([0, 0.4 / 24, 0])
    for at in ((1, 5), (7, 10)):
        with pytest.raises(ColdlabError, match="do not lie within"):
            spot(x, at)
