"""The classical restorations against their formulas."""

import pytest
import torch

from coldlab import data, metrics
from coldlab.degradations import Blur, Mask, Snow
from coldlab.lab.baselines import Linear, baselines, sharpened


@pytest.fixture(scope="module")
def images():
    """uint8 (600, 1, 12, 12): smooth pictures, so that a pixel tells of its neighbours."""
    noise = torch.randn(600, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    return data.to_uint8((1.2 * Blur(12, 1, 5, 1.2)(noise, 1)).clamp(-1, 1))


@pytest.mark.parametrize(
    "D", [Blur(12, 6, 5, 1.0), Mask(12, 6, 0.3, 4, centre="centred"), Mask(12, 6, 0.3, 4)], ids=repr
)
def test_the_linear_estimate_is_the_conditional_mean_of_a_gaussian(D, images):
    eps, x0 = 4e-3, data.to_float(images[:5]).double()
    z = D.draw(x0, torch.Generator().manual_seed(0)) if D.needs_z else None
    found = Linear(D, images, eps)(D(x0, D.T, z), z)
    pixels = data.to_float(images).double().flatten(1)
    m, S = pixels.mean(0), torch.cov(pixels.T)
    for i in range(5):
        units, z_i = (
            torch.eye(144).double().reshape(144, 1, 12, 12),
            None if z is None else z[i : i + 1].expand(144, -1),
        )
        A = D(units, D.T, z_i).flatten(1).T
        K = S @ A.T @ torch.linalg.inv(A @ S @ A.T + eps**2 * torch.eye(144).double())
        expected = m + K @ (A @ x0[i].flatten() - A @ m)
        assert (found[i].flatten() - expected).abs().max() < (0.02 if isinstance(D, Mask) else 1e-6)  # holes: a ridge


def test_each_knows_more_than_the_one_before(images):
    D = Blur(12, 6, 5, 1.0)
    rows = baselines(D, images[:100], images[100:], rounded=True)
    assert set(rows) == {"sharpened", "inverse", "linear"}
    truth = data.to_unit(data.to_float(images[:100]))
    errors = {row: metrics.rmse(x.clamp(0, 1), truth).item() for row, x in rows.items()}
    degraded = metrics.rmse(data.to_unit(data.eight_bits(D(data.to_float(images[:100]), D.T))), truth).item()
    assert errors["linear"] < errors["inverse"]
    assert errors["linear"] < errors["sharpened"] <= degraded + 1e-6


def test_what_is_not_linear_is_sharpened_alone(images):
    D = Snow(12, 4)
    z = D.draw(data.to_float(images[:3]), torch.Generator().manual_seed(0))
    assert set(baselines(D, images[:3], images, z)) == {"sharpened"}


def test_sharpening_leaves_flat_pictures_alone_and_steepens_edges():
    flat = torch.full((1, 1, 8, 8), 0.3)
    assert torch.allclose(sharpened(flat, 4.0), flat)
    edge = torch.full((1, 1, 8, 8), -0.5)
    edge[..., 4:] = 0.5
    assert torch.allclose(sharpened(edge, 1.0)[0, 0, 0], torch.tensor([-0.5, -0.5, -0.5, -0.75, 0.75, 0.5, 0.5, 0.5]))
    assert torch.equal(sharpened(edge, 0.0), edge)
