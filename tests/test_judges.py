"""The judges from elsewhere: what they see is their packages', what they say is ordered as an eye would."""

import builtins

import pytest
import torch

from coldlab import metrics
from coldlab.__main__ import main
from coldlab.errors import ColdlabError
from coldlab.metrics import judges


@pytest.fixture(scope="module")
def net():
    return judges.efficientnet()


@pytest.fixture(scope="module")
def photographs():
    """Pieces of the two photographs that scikit-learn ships, (12, 3, 64, 64) in [0, 1]."""
    from sklearn.datasets import load_sample_images

    pictures = [torch.from_numpy(p.copy()).permute(2, 0, 1) / 255 for p in load_sample_images().images]
    return torch.stack([p[:, 64 * k : 64 * k + 64, 80 * k : 80 * k + 64] for p in pictures for k in range(6)])


def test_it_knows_what_is_in_a_photograph(net):
    from sklearn.datasets import load_sample_images

    china = torch.from_numpy(load_sample_images().images[0].copy()).permute(2, 0, 1)[None, :, :, 100:527]
    seen = metrics.extract(net, china)
    assert seen.shape == (1, net.dim)
    (best,) = net.net._fc(seen).argmax(1).tolist()
    assert best in (442, 497, 698, 483)  # bell cote, church, palace, castle: the picture shows a temple's tower


def test_names_say_whose_numbers_they_are(net):
    assert metrics.frechet_name(net) == "Fréchet (efficientnet-lite0)"


def test_kid_is_that_of_torchmetrics():
    from torchmetrics.image.kid import poly_mmd

    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(50, 7, generator=draw, dtype=torch.float64) + shift for shift in (0, 0.3))
    assert judges.kid(x, y) == pytest.approx(poly_mmd(x, y, degree=3, gamma=None, coef=1.0).item(), rel=1e-9)


def test_kid_is_zero_on_average_where_nothing_differs():
    draw = torch.Generator().manual_seed(0)
    values = torch.stack([judges.kid(*torch.randn(2, 20, 5, generator=draw)) for _ in range(400)])
    assert values.min() < 0 < values.max()
    assert values.mean().abs() < 4 * values.std() / 20
    assert judges.kid(torch.randn(20, 5, generator=draw), torch.randn(20, 5, generator=draw) + 1) > values.max()


@pytest.mark.parametrize(("x", "y"), [((1, 4), (5, 4)), ((5, 4), (5, 3)), ((5,), (5,))])
def test_kid_says_what_it_takes(x, y):
    with pytest.raises(ColdlabError, match="KID takes two of each or more"):
        judges.kid(torch.zeros(x), torch.zeros(y))


def test_st_lpips_minds_a_change_and_hardly_a_shift(photographs):
    distance, x = judges.st_lpips(), photographs
    assert distance(x, x).abs().max() == 0
    shifted, noisy = (
        x.roll(1, -1),
        (x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1),
    )
    assert (distance(x, shifted) < distance(x, noisy)).all()
    grey = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))  # of any size and colour
    assert distance(grey, 1 - grey).shape == (2,)


def test_better_restorations_are_nearer_to_all_judges(photographs):
    soft, softer = (torch.nn.functional.avg_pool2d(photographs, k, 1, k // 2) for k in (3, 9))
    found = judges.judged({"soft": soft, "softer": softer, "original": photographs}, photographs.flip(-1))
    assert list(found) == ["soft", "softer", "other real images"]
    assert len(found["soft"]) == 3
    for measure in found["soft"]:
        assert found["soft"][measure] < found["softer"][measure]
    assert "ST-LPIPS" not in found["other real images"]


def test_without_their_packages_they_are_named(monkeypatch, capsys, photographs):
    known = builtins.__import__

    def missing(name, *rest):
        if name.startswith(("efficientnet", "stlpips")):
            raise ImportError(f"No module named {name!r}")
        return known(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    for make in (judges.efficientnet, judges.st_lpips):
        with pytest.raises(ColdlabError, match=r'pip install "coldlab\[judges\]"'):
            make()
    assert judges.judged({"original": photographs}, photographs) == {}
    assert main(["evaluate", "--features", "efficientnet", "--limit", "2"]) == 2
    assert "coldlab[judges]" in capsys.readouterr().err
