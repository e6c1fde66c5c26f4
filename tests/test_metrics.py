"""metrics.py against independent implementations and against numbers that can be worked out by hand."""

import math

import numpy as np
import pytest
import torch
from pytorch_msssim import ssim as reference_ssim
from torchmetrics.functional.image import structural_similarity_index_measure as torchmetrics_ssim

from coldlab import data, metrics
from coldlab.errors import ColdlabError

ALL = (metrics.rmse, metrics.psnr, metrics.ssim)


def pair(n=5, channels=3, height=24, width=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, channels, height, width, generator=generator)
    noise = torch.rand(x.shape, generator=generator) - 0.5
    strength = torch.linspace(0.05, 0.9, n).view(-1, 1, 1, 1)  # every image differs by another amount
    return x, (x + strength * noise).clamp(0, 1)


def test_rmse_by_hand():
    x = torch.zeros(2, 1, 2, 2)
    y = torch.tensor([[[[0.3, 0.4], [0.0, 0.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    assert metrics.rmse(x, y, per_image=True).tolist() == pytest.approx([0.25, 1.0])
    assert metrics.rmse(x, y).item() == pytest.approx(math.sqrt(4.25 / 8))  # over all pixels, not the mean 0.625
    assert metrics.rmse(x, y).shape == ()
    assert metrics.psnr(x, y).shape == ()


def test_rmse_and_psnr_equal_numpy():
    x, y = pair()
    error = x.numpy().astype(np.float64) - y.numpy()
    assert metrics.rmse(x, y).item() == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)
    assert metrics.psnr(x, y).item() == pytest.approx(10 * np.log10(1 / (error**2).mean()), rel=1e-12)
    each = 10 * np.log10(1 / (error**2).mean((1, 2, 3)))
    np.testing.assert_allclose(metrics.psnr(x, y, per_image=True).numpy(), each, rtol=1e-12)


def test_sums_run_in_float64():
    """In float32 the square of 1e-4 next to a million others loses its digits."""
    x = torch.zeros(3000, 1, 20, 20)
    y = x + 1e-4
    assert metrics.rmse(x, y).item() == pytest.approx(float(np.float32(1e-4)), rel=1e-12)
    assert metrics.rmse(x, y).dtype == torch.float64


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(11, 11), (32, 32), (28, 45)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_ssim_equals_pytorch_msssim(channels, height, width, kind):
    x, y = (v.to(kind) for v in pair(4, channels, height, width))
    expected = reference_ssim(x, y, data_range=1, size_average=False)
    assert (metrics.ssim(x, y, per_image=True) - expected).abs().max() < 1e-6
    assert abs(metrics.ssim(x, y) - reference_ssim(x, y, data_range=1)) < 1e-6


def test_ssim_equals_pytorch_msssim_on_digits():
    """Flat black regions, where float32 variances cancel."""
    x = data.to_unit(data.load("digits", "test")[0])
    y = (x + 0.3 * torch.rand(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    y[::3] = x[::3].flip(-1)
    expected = reference_ssim(x.double(), y.double(), data_range=1, size_average=False)
    assert (metrics.ssim(x, y, per_image=True) - expected).abs().max() < 1e-6
    assert abs(metrics.ssim(x, y) - reference_ssim(x, y, data_range=1)) < 1e-6


def test_equal_images():
    x, _ = pair()
    assert metrics.rmse(x, x) == 0
    assert metrics.psnr(x, x) == math.inf
    assert metrics.ssim(x, x).item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_chunks_do_not_show(metric, monkeypatch):
    x, y = pair(n=10)
    whole = metric(x, y, per_image=True), metric(x, y)
    monkeypatch.setattr(metrics.pixels, "CHUNK", 3)
    torch.testing.assert_close((metric(x, y, per_image=True), metric(x, y)), whole, rtol=1e-13, atol=0)
    alone = torch.stack([metric(a[None], b[None]) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(alone, whole[0], rtol=1e-13, atol=0)


@pytest.mark.parametrize("metric", ALL)
def test_symmetric_and_half_precision(metric):
    x, y = pair()
    assert metric(x, y).item() == pytest.approx(metric(y, x).item(), rel=1e-12)
    assert metric(x.bfloat16(), y.bfloat16()).item() == metric(x.bfloat16().double(), y.bfloat16().double()).item()


@pytest.mark.parametrize("metric", ALL)
def test_wrong_images_are_refused(metric):
    x, y = pair()
    with pytest.raises(
        ColdlabError, match=r"shapes \(5, 3, 24, 20\) and \(4, 3, 24, 20\); .* one shape \(N, C, H, W\)"
    ):
        metric(x, y[:4])
    with pytest.raises(ColdlabError, match=r"shapes \(3, 24, 20\) and \(3, 24, 20\)"):
        metric(x[0], y[0])
    with pytest.raises(ColdlabError, match=r"shapes \(0, 3, 24, 20\)"):
        metric(x[:0], y[:0])
    below, above = y.clone(), y.clone()
    below[0, 0, 0, 0], above[0, 0, 0, 0] = -2e-4, 1.0002
    for wrong, shown in (
        (y * 2 - 1, "from -"),
        (below, r"from -0\.0002 to"),
        (above, r"to 1\.0002"),
        (y.log(), "from -inf"),
    ):
        with pytest.raises(
            ColdlabError, match=rf"{shown}.*; metrics take floats in \[0, 1\]: use coldlab.data.to_unit"
        ):
            metric(x, wrong)
    with pytest.raises(ColdlabError, match="from nan to nan"):
        metric(torch.full_like(y, math.nan), x)
    with pytest.raises(ColdlabError, match=r"images are torch.uint8 from 0 to .* use coldlab.data.to_unit"):
        metric((x * 255).byte(), (y * 255).byte())
    below[0, 0, 0, 0], above[0, 0, 0, 0] = -0.9e-4, 1.00009
    assert metric(below, above).isfinite()  # rounding just outside is no mistake


def test_ssim_needs_the_window():
    x, y = pair(height=10, width=32)
    with pytest.raises(ColdlabError, match="window is 11 x 11 and the images are 10 x 32"):
        metrics.ssim(x, y)


def test_ssim_is_torchmetrics_without_the_border():
    """torchmetrics averages over reflected windows, too: all but (22 / 32)^2 of those of a 32 x 32 image."""
    x, y = pair(4, 1, 32, 32)
    _, everywhere = torchmetrics_ssim(x.double(), y.double(), data_range=1.0, return_full_image=True)
    assert everywhere.shape[-2:] == (32, 32)
    assert everywhere[..., 5:-5, 5:-5].mean().item() == pytest.approx(metrics.ssim(x, y).item(), rel=1e-12)


def test_the_bootstrap_draws_means_of_images():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = metrics.bootstrap(values, 2000, seed=1)
    assert draws.shape == (2000,)
    assert draws.mean().item() == pytest.approx(values.mean().item(), abs=0.01)
    assert draws.std().item() == pytest.approx(values.std(correction=0).item() / 20, rel=0.06)
    assert torch.equal(draws, metrics.bootstrap(values, 2000, seed=1))
    assert not torch.equal(draws, metrics.bootstrap(values, 2000, seed=2))
    with pytest.raises(ColdlabError, match="no values"):
        metrics.bootstrap(torch.zeros(0))


@pytest.mark.parametrize("metric", ALL)
def test_intervals_hold_the_value_and_narrow_with_more_images(metric):
    x, y = pair(40, 1)
    low, high = metrics.interval(metric, x, y)
    assert low < metric(x, y).item() < high
    wide = metrics.interval(metric, x[::4], y[::4])
    assert wide[1] - wide[0] > 1.3 * (high - low)
    assert metrics.interval(metric, x, x) == pytest.approx((metric(x, x).item(),) * 2)
    inside = metrics.interval(metric, x, y, level=0.5)
    assert low < inside[0] < inside[1] < high


def test_intervals_cover_as_often_as_they_say():
    """Of 200 samples of 60 images from one source, about 95 % of the intervals hold the source's RMSE."""
    generator = torch.Generator().manual_seed(3)
    size = torch.rand(200, 60, 1, 1, 1, generator=generator)  # image errors, uniform in 0..1, so the RMSE is sqrt(1/3)
    x = torch.zeros(60, 1, 2, 2)
    held = [lo < math.sqrt(1 / 3) < hi for lo, hi in (metrics.interval(metrics.rmse, x + s, x) for s in size)]
    assert 0.88 < sum(held) / len(held) < 0.99


@pytest.mark.parametrize("metric", [metrics.rmse, metrics.psnr, metrics.ssim])
def test_one_seed_draws_the_same_images_of_every_pair(metric):
    """So the difference of two restorations' draws is that of one sample of images: a paired bootstrap."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(30, 1, 12, 12, generator=generator)
    worse = (truth + 0.2 * torch.rand(30, 1, 1, 1, generator=generator)).clamp(0, 1)
    better = truth + 0.9 * (worse - truth)
    one, other = (metrics.pixels.draws(metric, x, truth, 200, seed=3) for x in (worse, better))
    assert ((one - other) > 0).all() if metric is metrics.rmse else ((one - other) < 0).all()
    generator = torch.Generator().manual_seed(3)
    first = torch.randint(30, (50, 30), generator=generator)[0]
    assert one[0].item() == pytest.approx(metric(worse[first], truth[first]).item(), rel=1e-9)
    low, high = metrics.interval(metric, worse, truth, 0.95, 200, seed=3)
    assert (low, high) == metrics.pixels.middle(one)
