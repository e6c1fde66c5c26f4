"""The search for copies: right against brute force, with the power to find what was moved, noisy or soft, and fair."""

import pytest
import torch
from helpers import images

import coldlab
from coldlab import data, evaluation, metrics, sampling
from coldlab.errors import ColdlabError
from coldlab.lab.studies import forged
from coldlab.metrics import copies


def brute(x, training, shift, mirror):
    """The RMSE of every image to every training image, the least over all moves, (N, M)."""
    side = x.shape[-1] - 2 * shift
    inner = training[:, :, shift : shift + side, shift : shift + side].double()
    apart = []
    for y in [x, x.flip(3)] if mirror else [x]:
        for i in range(2 * shift + 1):
            for j in range(2 * shift + 1):
                window = y[:, :, i : i + side, j : j + side].double()
                apart.append((window[:, None] - inner).square().mean((2, 3, 4)).sqrt())
    return torch.stack(apart).amin(0)


@pytest.mark.parametrize(("shift", "mirror"), [(0, False), (1, True), (2, False)])
def test_the_search_finds_what_brute_force_finds(shift, mirror):
    training, x = (
        data.load("digits", "train")[0][:400],
        data.to_unit(data.to_float(data.load("digits", "test")[0][:40])),
    )
    distance, index, ratio = metrics.Originals(training, shift, mirror)(x)
    every = brute(x, data.to_unit(data.to_float(training)), shift, mirror)
    least = every.amin(1)
    assert (distance - least > 1e-6).sum() <= 1  # coarse to fine: almost always the very nearest, never a nearer one
    assert (distance - least).min() > -1e-6
    chosen = every.gather(1, index[:, None])[:, 0]
    assert torch.allclose(distance, chosen, atol=1e-6)
    parts = torch.stack([every[:, first::10].amin(1) for first in range(10)], 1)
    assert torch.allclose(ratio, least / parts.median(1).values, atol=0.02)


def test_thumbnails_are_a_lower_bound():
    search = metrics.Originals(data.to_uint8(images(40, 3)), shift=1)
    a, b = (images(5, 3, 14, seed=seed) for seed in (1, 2))
    coarse = (search.thumbnail(a) - search.thumbnail(b)).square().sum(1)
    assert (coarse <= (a - b).square().sum((1, 2, 3)) + 1e-5).all()
    flat = torch.ones(1, 3, 14, 14)
    assert search.thumbnail(flat).square().sum() == pytest.approx(flat.square().sum().item(), rel=1e-5)


@pytest.fixture(scope="module")
def digits():
    """(the search among the training digits, ratios of restored test digits, half for the limit and half to try)."""
    R = coldlab.load_pretrained("digits-blur")
    test, training = (data.load("digits", split)[0] for split in ("test", "train"))
    rows = evaluation.restored(R, R.D, test, samplers={"improved": sampling.improved})
    search = metrics.Originals(training)
    ratios = torch.stack([search(rows[row])[2] for row in ("direct", "Algorithm 2")])
    return search, training, ratios[:, ::2].flatten(), ratios[:, 1::2].flatten()


def test_copies_are_found_and_restored_test_images_are_left_alone(digits):
    search, training, first, second = digits
    limit = first.quantile(0.05)
    flagged = (second < limit).double().mean().item()
    assert 0.01 < flagged < 0.12
    x = data.to_float(training[::10])
    for name, forgery in forged(x).items():
        caught = (search(data.to_unit(forgery))[2] < limit).double().mean().item()
        if name == "mirrored copies":
            assert caught < 0.3  # a mirrored digit is another digit: not looked for here
        else:
            assert caught >= 0.9, name
    mirrored = metrics.Originals(training, mirror=True)(data.to_unit(x.flip(3)))
    assert mirrored[0].max() < 1e-6


def test_the_copied_image_is_named(digits):
    search, training, *_ = digits
    chosen = torch.tensor([3, 77, 1402])
    moved = data.to_unit(data.to_float(training[chosen])).roll((-2, 1), (2, 3))
    distance, index, ratio = search(moved)
    assert torch.equal(index, chosen)
    assert max(distance.max(), ratio.max()) < 1e-6


def test_neighbours_in_features_have_the_same_ratio():
    x, training = images(6, 1).flatten(1), images(50, 1, seed=2).flatten(1)
    training[17] = x[4] + 1e-4
    distance, index, ratio = metrics.neighbours(x, training, parts=5)
    every = torch.cdist(x.double(), training.double()) / x.shape[1] ** 0.5
    assert torch.allclose(distance, every.amin(1), atol=1e-6)
    assert torch.equal(index, every.argmin(1))
    assert ratio[4] < 0.001 < 0.5 < ratio[:4].min()
    assert metrics.neighbours(x, training[:3])[1].max() <= 2


def test_wrong_images_are_refused():
    training = data.to_uint8(images(40, 1))
    for wrong in (training.float(), training[:19], training[0]):
        with pytest.raises(ColdlabError, match="uint8"):
            metrics.Originals(wrong)
    with pytest.raises(ColdlabError, match="shift = 8 leaves nothing"):
        metrics.Originals(training, shift=8)
    with pytest.raises(ColdlabError, match="that of the training images"):
        metrics.Originals(training)(images(2, 3))
    with pytest.raises(ColdlabError, match=r"searched in \[0, 1\]: use coldlab.data.to_unit"):
        metrics.Originals(training)(2 * images(2, 1) - 1)


def test_an_image_without_any_contrast_has_a_ratio_too():
    assert copies.told(torch.zeros(1, 5), torch.zeros(1, 5).long())[2].isfinite().all()
