"""frechet.py against SciPy, against torch-fidelity's own formula, and against laws that can be worked out by hand."""

import math
import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from coldlab import data, metrics
from coldlab.errors import ColdlabError
from coldlab.metrics.distances import against_samples, frechet_draws, square_root


def gaussian(n, f, seed=0, shift=0.0):
    """Correlated draws (n, f) whose eigenvalues span some decades."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(f, f, generator=torch.Generator().manual_seed(99)).double()
    mix = mix * torch.logspace(0, -2, f, dtype=torch.float64)
    return torch.randn(n, f, generator=generator).double() @ mix + shift


def by_scipy(a, b):
    a, b = a.double().numpy(), b.double().numpy()
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(c @ d)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c + d - 2 * np.real(root)))


def by_torch_fidelity(a, b):
    statistics = [fid_features_to_statistics(x.double()) for x in (a, b)]
    return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]


@pytest.fixture(scope="module")
def seen():
    """Features that a classifier gives to the digits of the test set and to the first training digits."""
    net = metrics.classifier("digits")
    return [metrics.extract(net, data.load("digits", split)[0][:297]) for split in ("test", "train")]


@pytest.mark.parametrize(("n", "m", "f"), [(50, 80, 3), (400, 300, 16), (3000, 2500, 64)])
def test_frechet_equals_scipy_and_torch_fidelity(n, m, f):
    a, b = gaussian(n, f), gaussian(m, f, seed=1, shift=0.1)
    value = metrics.frechet(a, b).item()
    assert value == pytest.approx(by_scipy(a, b), rel=1e-6)
    assert value == pytest.approx(by_torch_fidelity(a, b), rel=1e-6)


def test_frechet_equals_scipy_and_torch_fidelity_on_images(seen):
    value = metrics.frechet(*seen).item()
    assert value == pytest.approx(by_scipy(*seen), rel=1e-6)
    assert value == pytest.approx(by_torch_fidelity(*seen), rel=1e-6)


def test_frechet_of_gaussians_by_hand():
    """In one dimension it is (m - m')^2 + (s - s')^2; with features that do not vary together, the sum of those."""
    a = torch.tensor([[-1.0, -2.0], [-1.0, 2.0], [1.0, -2.0], [1.0, 2.0]], dtype=torch.float64)
    b = 3 * a + torch.tensor([1.0, 0.0])
    spread = a.var(0).sqrt()
    assert metrics.frechet(a, b).item() == pytest.approx(1 + ((2 * spread) ** 2).sum().item(), rel=1e-12)


def test_frechet_is_symmetric_zero_on_itself_and_never_negative():
    a, b = gaussian(200, 12), gaussian(200, 12, seed=2)
    assert metrics.frechet(a, b).item() == pytest.approx(metrics.frechet(b, a).item(), rel=1e-9)
    assert 0 <= metrics.frechet(a, a).item() < 1e-9
    assert metrics.frechet(a, b).dtype == torch.float64
    turned, _ = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)).double())
    assert metrics.frechet(a @ turned, b @ turned).item() == pytest.approx(metrics.frechet(a, b).item(), rel=1e-9)


def test_features_that_do_not_vary_are_no_trouble():
    """Dead features give singular covariances, where a root of the plain product turns complex."""
    a, b = gaussian(300, 10), gaussian(300, 10, seed=1)
    a[:, 7:], b[:, 7:] = 0, 0
    assert metrics.frechet(a, b).item() == pytest.approx(metrics.frechet(a[:, :7], b[:, :7]).item(), rel=1e-9)


def test_the_root_squares_to_the_matrix():
    matrix = metrics.moments(gaussian(100, 9)).cov
    root = square_root(matrix)
    torch.testing.assert_close(root @ root, matrix, rtol=1e-10, atol=1e-12)
    assert torch.equal(root, root.T) or (root - root.T).abs().max() < 1e-12


@pytest.mark.parametrize("batch", [1, 7, 64, 500])
def test_streaming_moments_equal_numpy(batch):
    x = gaussian(500, 6, shift=1000.0)  # far from zero: sums of squares would cancel
    m = metrics.Moments(6)
    for part in x.split(batch):
        assert m.update(part) is m
    assert m.count == 500
    np.testing.assert_allclose(m.mean.numpy(), x.numpy().mean(0), rtol=1e-13)
    np.testing.assert_allclose(m.cov.numpy(), np.cov(x.numpy(), rowvar=False), rtol=1e-8, atol=1e-12)


def test_wrong_features_are_refused():
    a = gaussian(50, 4)
    with pytest.raises(ColdlabError, match="the sets have 4 and 3 features; compare features of one net"):
        metrics.frechet(a, a[:, :3])
    with pytest.raises(ColdlabError, match="there are 3 features and there were 4"):
        metrics.moments(a).update(a[:, :3])
    with pytest.raises(ColdlabError, match="1 images have no covariance; give two or more"):
        metrics.frechet(a, a[:1])
    with pytest.raises(ColdlabError, match="0 images have no covariance"):
        metrics.frechet(a, metrics.Moments(4))
    for bad in (math.nan, math.inf):
        broken = a.clone()
        broken[3, 1] = broken[8, 0] = bad
        with pytest.raises(ColdlabError, match="features of 2 of 50 images are not finite"):
            metrics.frechet(a, broken)
    with pytest.raises(ColdlabError, match=r"torch.float64 of shape \(50,\); they are floats of shape \(images, feat"):
        metrics.moments(a[:, 0])
    with pytest.raises(ColdlabError, match=r"torch\.int64"):
        metrics.moments(a.long())


def test_too_few_images_for_the_features_are_told():
    with pytest.warns(UserWarning, match="8 images for 8 features: such a Fréchet distance is dominated by its bias"):
        metrics.frechet(gaussian(8, 8), gaussian(100, 8, seed=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.frechet(gaussian(9, 8), gaussian(100, 8, seed=1))


@pytest.mark.parametrize(("n", "m"), [(300, 300), (400, 1600)])
def test_the_bias_of_gaussians_is_as_predicted(n, m):
    covariance = metrics.moments(gaussian(200000, 12)).cov
    found = [metrics.frechet(gaussian(n, 12, seed=2 * k), gaussian(m, 12, seed=2 * k + 1)).item() for k in range(100)]
    spread = np.std(found) / math.sqrt(len(found))
    expected = metrics.gaussian_bias(covariance, n, m).item()
    assert abs(np.mean(found) - expected) < 4 * spread + 0.03 * expected
    plain = metrics.gaussian_bias(2 * torch.eye(7), 10, 20).item()
    assert plain == pytest.approx((1 / 10 + 1 / 20) * 2 * 7 * 12 / 4)


def test_the_line_in_one_over_n_is_found():
    found = {n: torch.tensor([2 + 30 / n - 0.1, 2 + 30 / n + 0.1], dtype=torch.float64) for n in (50, 100, 400)}
    assert metrics.extrapolate(found) == (pytest.approx(2), pytest.approx(30))
    with pytest.raises(ColdlabError, match="two or more numbers of images"):
        metrics.extrapolate({50: found[50]})


def test_extrapolation_comes_nearer_to_the_truth_than_any_sample():
    a, b = gaussian(4000, 12), gaussian(4000, 12, seed=1, shift=0.2)
    found = against_samples(a, b, (100, 200, 400), repeats=20)
    assert {n: v.shape for n, v in found.items()} == {100: (20,), 200: (20,), 400: (20,)}
    means = [v.mean().item() for v in found.values()]
    truth = metrics.frechet(a, b).item()
    assert means[0] > means[1] > means[2] > truth
    assert abs(metrics.extrapolate(found)[0] - truth) < 0.5 * (means[2] - truth)
    with pytest.raises(ColdlabError, match="n = 5000 images cannot be drawn from sets of 4000 and 4000"):
        against_samples(a, b, (5000,))
    assert against_samples(a, a, (50,), paired=True)[50].max() < 1e-9  # the same images of both
    assert against_samples(a, a, (50,))[50].min() > 0.01
    with pytest.raises(ColdlabError, match="4000 and 3000 images are no pairs"):
        against_samples(a, b[:3000], (50,), paired=True)


@pytest.mark.parametrize("paired", [True, False])
def test_the_bootstrap_is_that_of_the_copied_features(paired):
    a, b = gaussian(60, 5), gaussian(60, 5, seed=1, shift=0.3)
    draws = frechet_draws(a, b, 3, seed=4, paired=paired)
    generator = torch.Generator().manual_seed(4)
    for draw in draws:
        chosen = torch.randint(60, (60,), generator=generator)
        other = chosen if paired else torch.randint(60, (60,), generator=generator)
        assert draw.item() == pytest.approx(metrics.frechet(a[chosen], b[other]).item(), rel=1e-9)
    low, high = metrics.frechet_interval(a, b, paired=paired)
    assert 0 <= low < metrics.frechet(a, b).item() < high
    with pytest.raises(ColdlabError, match="for pairs one number of images"):
        frechet_draws(a, b[:50])


def test_the_interval_has_the_right_width():
    """The spread of the distance over fresh samples is what the bootstrap of one sample says, within a factor."""
    fresh = [metrics.frechet(gaussian(400, 4, seed=k), gaussian(400, 4, seed=k + 500, shift=0.5)) for k in range(100)]
    spread = torch.stack(fresh).std().item()
    low, high = metrics.frechet_interval(gaussian(400, 4, seed=7), gaussian(400, 4, seed=507, shift=0.5), paired=False)
    assert 0.6 < (high - low) / (2 * 1.96 * spread) < 1.6
