"""Matched severities against what they promise: the best linear estimate, its error, and one network for all."""

import copy

import pytest
import torch

from coldlab import data, metrics
from coldlab.degradations import Blur, Mask, Noise, Pixelate
from coldlab.lab import matched
from coldlab.training import Config

SIZE = 12
WAYS = [Blur(SIZE, 6, 5, 1.0), Pixelate(SIZE, T=2), Mask(SIZE, 6, 0.3, 4, centre="centred"), Noise(SIZE, T=6)]
each_way = pytest.mark.parametrize("D", WAYS, ids=repr)


@pytest.fixture(scope="module")
def images():
    """uint8 (1500, 1, 12, 12): smooth pictures well within the range, Gaussian but for rounding."""
    noise = torch.randn(
        1500, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(7)
    )  # not the z that is drawn below
    return data.to_uint8(0.5 * Blur(SIZE, 1, 5, 1.2)(noise, 1))


@pytest.fixture(scope="module")
def known(images):
    return matched.moments(images)


def test_moments_are_the_mean_and_the_covariance(images, known):
    mean, cov = known
    x = data.to_float(images).double().flatten(1)
    assert torch.allclose(mean, x.mean(0))
    assert torch.allclose(cov, (x - mean).T @ (x - mean) / (len(x) - 1))
    assert torch.allclose(matched.moments(images, most=100)[0], x[::15].mean(0))


@each_way
def test_what_is_observed_is_what_the_degradation_does(D, images):
    x0 = data.to_float(images[:5]).double()
    z = D.draw(x0, torch.Generator().manual_seed(0))
    for t in (1, D.T):
        A, b = matched.observed(D, t)
        seen = x0.flatten(1) @ A.T + (0 if z is None else b * z.flatten(1))
        assert torch.allclose(seen, D(x0, t, z).flatten(1), atol=1e-6)
        assert (b > 0) == (z is not None)


@each_way
def test_the_estimate_is_the_conditional_mean_of_a_gaussian(D, images, known):
    """By the other form of the same mean, (S^-1 + A^T A / s^2)^-1, whose trace is the error."""
    mean, cov = known
    sigma, t, eye = 0.05, 2, torch.eye(len(mean), dtype=torch.float64)
    G, c, rmse = matched.wiener(D, t, mean, cov, sigma)
    A, b = matched.observed(D, t)
    left = torch.linalg.inv(torch.linalg.inv(cov + 1e-9 * eye) + A.T @ A / (b**2 + sigma**2))
    assert torch.allclose(G, left @ A.T / (b**2 + sigma**2), atol=1e-4)
    assert torch.allclose(G @ (A @ mean) + c, mean)  # the mean image is restored to itself
    assert rmse == pytest.approx((left.trace() / len(mean)).sqrt().item() / 2, rel=1e-3)


@each_way
@pytest.mark.parametrize("how", matched.ROUNDING)
def test_the_expected_error_is_the_error(D, how, images, known):
    """With white noise of the size of the rounding in its place."""
    x0, draw = data.to_float(images).double(), torch.Generator().manual_seed(1)
    linear, z, errors = matched.Linear(D, *known, how), D.draw(x0, draw), []
    for t in range(1, D.T + 1):
        x = D(x0, t, z)
        x = x + matched.ROUNDING[how] * torch.randn(x.shape, generator=draw, dtype=x.dtype)
        off = (linear(x, t) - x0).square().mean().sqrt().item() / 2
        assert off == pytest.approx(linear.rmse[t], rel=0.03)
        errors.append(off)
    assert errors == sorted(errors)  # the later, the less is left


@pytest.mark.parametrize("D", [WAYS[0], WAYS[3]], ids=repr)
def test_the_expected_error_is_that_of_files(D, images, known):
    linear = matched.Linear(D, *known, matched.FILE)
    for t in range(1, D.T + 1):
        x, _ = matched.degraded(D, matched.FILE, data.to_float(images), t)
        off = (linear(x.double(), t) - data.to_float(images)).square().mean().sqrt().item() / 2
        assert off == pytest.approx(linear.rmse[t], rel=0.03)


def test_how_precisely_it_is_kept_matters_to_a_blur_and_not_to_noise(known):
    by = {type(D).__name__: [matched.wiener(D, D.T, *known, sigma)[2] for sigma in (1e-2, 1e-4, 1e-6)] for D in WAYS}
    assert by["Noise"][0] == pytest.approx(by["Noise"][2], rel=1e-3)
    assert by["Pixelate"][0] == pytest.approx(by["Pixelate"][2], rel=1e-2)
    assert by["Blur"][2] < 0.8 * by["Blur"][1] < 0.6 * by["Blur"][0]


def test_rounding_is_that_of_a_file_and_goes_on_beyond_its_range():
    x = torch.linspace(-1, 1, 100_001, dtype=torch.float64)
    there = matched.rounded(x, matched.FILE)
    assert torch.allclose(there, data.eight_bits(x))
    assert (there - x).std().item() == pytest.approx(matched.ROUNDING[matched.FILE], rel=0.01)
    wide = matched.rounded(3 * x, matched.FILE)
    assert (wide - 3 * x).abs().max() < matched.STEP / 2 + 1e-9
    assert torch.equal(matched.rounded(x, matched.FLOAT), x)


def test_each_image_has_its_own_severity(images, known):
    linear = matched.Linear(WAYS[0], *known, matched.FILE)
    x = data.to_float(images[:6])
    t = torch.tensor([1, 6, 3, 3, 0, 6])
    for wide in (x, x.double()):
        alone = torch.cat([linear(wide[i : i + 1], int(t[i])) for i in range(6)])
        assert torch.allclose(linear(wide, t), alone, atol=1e-5)
        assert linear(wide, t).dtype == wide.dtype
    assert torch.allclose(linear(x, t)[4], x[4])  # at 0 the image itself
    assert copy.deepcopy(linear) is linear  # an average of weights does not carry a second table


def test_the_nearest_severity_is_never_the_clean_image():
    assert matched.nearest([0.0, 0.1, 0.2, 0.4], 0.29) == 2
    assert matched.nearest([0.0, 0.1, 0.2, 0.4], 0.0) == 1


def test_a_network_learns_what_no_linear_estimate_knows():
    """Pictures of two levels: their covariance does not say that there are but two."""
    draw = torch.Generator().manual_seed(7)
    images = data.to_uint8(0.8 * Blur(16, 1, 5, 1.2)(torch.randn(1500, 1, 16, 16, generator=draw), 1).sign())
    D = Pixelate(16, T=1)
    linear = matched.Linear(D, *matched.moments(images), matched.FILE)
    config = Config("ones own", "pixelate", width=16, batch=32, steps=200, lr=5e-3, loss="l2")
    R = matched.learn(D, matched.FILE, linear, images[100:], config)
    rows = matched.restored(R, D, matched.FILE, images[:100], 1)
    assert set(rows) == {"degraded", "linear", "network", "original"}
    error = {row: metrics.rmse(x, rows["original"]).item() for row, x in rows.items()}
    assert error["network"] < 0.96 * error["linear"] < 0.96 * error["degraded"]
    found = matched.judged(rows)
    assert found["network"]["rmse"] == error["network"]
    assert set(found["linear"]) == {"rmse", "ssim"}


def test_training_is_repeated_bit_for_bit(images, known):
    linear = matched.Linear(WAYS[1], *known, matched.FILE)
    config = Config("ones own", "pixelate", width=8, batch=8, steps=4)
    R, again = (matched.learn(WAYS[1], matched.FILE, linear, images, config) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(R.parameters(), again.parameters(), strict=True))
    other = matched.build(linear, 8, seed=1)
    assert not torch.equal(next(other.parameters()), next(matched.build(linear, 8).parameters()))


def test_the_network_begins_as_the_linear_estimate(images, known):
    linear = matched.Linear(WAYS[0], *known, matched.FILE)
    x, t = data.to_float(images[:4]), torch.tensor([1, 3, 5, 6])
    for R in (matched.build(linear, 8), matched.build(linear, 8).eval()):
        with torch.no_grad():
            assert torch.allclose(R(x, t).double(), linear(x.double(), t), atol=1e-4)


def test_the_samplers_take_it_and_it_is_measured_alike(images, known):
    D = WAYS[3]
    R = matched.build(matched.Linear(D, *known, matched.FILE), 8).eval()
    x, z = matched.degraded(D, matched.FILE, data.to_float(images[:4]), 3)
    again, _ = matched.degraded(D, matched.FILE, data.to_float(images[:4]), 3)
    assert torch.equal(x, again)
    assert torch.allclose(matched.rounded(x, matched.FILE), x, atol=1e-6)
    assert R.wide
    with torch.no_grad():
        assert R(x, 3).shape == x.shape
    assert z.shape == x.shape
