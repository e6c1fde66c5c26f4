"""What can be read off a damaged image: where its hole lies, which colour it fades to."""

import pytest
import torch
from helpers import mask_factor
from test_samplers_everywhere import photographs as pieces

from coldlab import data
from coldlab.degradations import Fade, Mask, make
from coldlab.degradations.likelihood import TAU, likeliest


def photographs(count=64, size=32):
    """Smooth colour pictures (count, 3, size, size) in [-1, 1], such as photographs are at this size."""
    noise = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    smooth = make("blur", size, T=1, kernel=9, std=2.0)(noise, 1)
    return (0.5 * smooth / smooth.std((1, 2, 3), keepdim=True)).clamp(-1, 1)


def brute(x, t, D):
    """The centre of least surprise of one image (C, n, n), place by place, from the formula."""
    n, found = x.shape[-1], {}
    scale = x.pow(2).mean()
    for _ in range(2):
        for row in range(-1, n):
            for column in range(-1, n):
                factor = mask_factor(n, t, D.kernel_std, D.initial_mask, row, column)
                v = scale * factor**2 + TAU**2
                found[row, column] = (v.log() * len(x) + x.pow(2).sum(0) / v).sum().item()
        best = min(found, key=found.get)
        factor = mask_factor(n, t, D.kernel_std, D.initial_mask, *best)
        scale = (x.pow(2).sum(0) * factor**2).sum() / (len(x) * (factor**4).sum())
    return best


@pytest.mark.parametrize("t", [3, 12])
def test_the_likeliest_centre_is_that_of_the_formula(t):
    D, x0 = Mask(12, 12, 0.1, 5), photographs(3, 12)
    z = torch.tensor([[-1, 4], [6, 6], [11, 2]])
    x = data.eight_bits(D(x0, t, z))
    assert [tuple(found) for found in D.likelihood(x, t)[0].tolist()] == [brute(image, t, D) for image in x]


def test_the_neighbours_of_that_centre_are_weighed_by_the_brightness_around_each_pixel():
    """Against the formula, pixel by pixel; and exact far more often than the first centre."""
    D, x0 = Mask(12, 12, 0.1, 5), photographs(1, 12)
    x = data.eight_bits(D(x0, 12, torch.tensor([[6, 6]])))[0]
    (row, column), found = D.likelihood(x[None], 12)[0][0].tolist(), {}
    d = torch.arange(12.0, dtype=torch.float64)
    G = torch.exp(-((d[:, None] - d) ** 2) / 2)
    G = G / G.sum(1).max()
    for z in ((row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
        F = mask_factor(12, 12, 0.1, 5, *z).double()
        s2 = (G @ (x.double() ** 2 * F**2) @ G + 1e-3 * x.double().square().mean()) / (G @ F**4 @ G + 1e-3)
        v = s2 * F**2 + TAU**2
        found[z] = (v.log() + x.double() ** 2 / v).sum().item()
    assert tuple(D.infer(x[None], None, 12)[0].tolist()) == min(found, key=found.get)

    D, x0 = Mask(32), pieces(200, 3, 32)
    z = D.draw(x0, torch.Generator().manual_seed(2))
    x = data.eight_bits(D(x0, 50, z))
    first, second = ((q == z).all(1).double().mean() for q in (D.likelihood(x, 50)[0], D.infer(x, None, 50)))
    assert second > first + 0.01


def test_holes_are_found_in_files():
    D, x0 = Mask(32), photographs()
    z = D.draw(x0, torch.Generator().manual_seed(1))
    for t, exact in ((10, 0.9), (50, 0.6)):
        x = data.eight_bits(D(x0, t, z))
        off = (D.infer(x, None, t) - z).abs().amax(1)
        assert (off == 0).double().mean() > exact
        assert (off <= 1).double().mean() > 0.95
    many = torch.full((64,), 50)
    assert torch.equal(D.infer(x, None, many), D.infer(x, None, 50))
    assert torch.equal(D.infer(x[:1], None, 50), D.infer(x, None, 50)[:1])


def test_probabilities_say_where_a_hole_may_be():
    D, x0 = Mask(32), photographs(4)
    x = data.eight_bits(D(x0, 20, torch.tensor([[3, 30], [16, 16], [-1, -1], [31, 0]])))
    z, p = D.likelihood(x, 20)
    assert torch.allclose(p.sum((1, 2)), torch.ones(4, dtype=p.dtype))
    for image, (row, column) in enumerate(z.tolist()):
        assert p[image].argmax() == (row + 1) * 33 + column + 1
    nothing = D.likelihood(x0, 0)[1]  # without a hole every place is as likely
    assert torch.allclose(nothing, torch.full_like(nothing, 1 / 33**2))


def test_a_black_image_has_a_place_too():
    z, p = likeliest(torch.zeros(1, 1, 8, 8).double(), torch.rand(1, 16, 16).double(), lambda z: torch.ones(1, 1, 8, 8))
    assert z.shape == (1, 2)
    assert p.isfinite().all()


def test_the_colour_of_a_fade_is_read():
    D, x0 = Fade(32, 60, 0.3), photographs(8)
    z = D.draw(x0, torch.Generator().manual_seed(0))
    for t, off in ((60, 1e-6), (40, 1e-2)):
        assert (D.infer(D(x0, t, z), None, t) - z).abs().max() < off, t
    assert D.infer(D(x0, 20, z), None, 20).abs().max() < 0.5  # hardly begun: the colours that are likeliest anyway
    assert torch.equal(D.infer(x0, None, 0), torch.zeros_like(z))


@pytest.mark.parametrize("D", [Mask(32), Mask(32, centre="centred"), Fade(32, 60, 0.3)], ids=repr)
def test_what_is_left(D):
    x0 = photographs(4)
    z = D.draw(x0, torch.Generator().manual_seed(0)) if D.needs_z else None
    for t in (0, 5, torch.tensor([0, 3, D.T, D.T - 1])):
        left = D.left(x0, t, z)
        assert left.shape[-2:] == (32, 32)
        assert left.min() >= 0
        assert left.max() <= 1
        nothing = D(torch.zeros_like(x0), t, z)
        assert torch.allclose(D(x0, t, z), nothing + left * x0)
    assert make("blur", 32).left(x0, 3, None) is None
