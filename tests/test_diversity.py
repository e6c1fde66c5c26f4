"""diversity.py against torch-fidelity's precision and recall, and against sets whose answer is known."""

import math

import pytest
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from coldlab import data, metrics
from coldlab.errors import ColdlabError


def cloud(n, f=4, seed=0, shift=0.0):
    return torch.randn(n, f, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m", "shift"), [(200, 150, 0.5), (90, 300, 1.5)])
def test_precision_and_recall_equal_torch_fidelity(k, n, m, shift):
    generated, real = cloud(n, shift=shift), cloud(m, seed=1)
    theirs = prc_features_to_metric(
        generated, real, prc_neighborhood=k, prc_batch_size=100, save_cpu_ram=True, verbose=False
    )
    precision, recall = metrics.precision_recall(generated, real, k)
    assert precision.item() == pytest.approx(theirs["precision"], abs=1.5 / n)  # float64 here, float32 there
    assert recall.item() == pytest.approx(theirs["recall"], abs=1.5 / m)


def test_precision_and_recall_of_known_sets():
    real = cloud(200)
    assert metrics.precision_recall(real, real) == (1, 1)
    assert metrics.precision_recall(real + 100, real) == (0, 0)
    few = real[:5] + 1e-6  # five of the real images, slightly moved: all look real, most are missing
    precision, recall = metrics.precision_recall(few.repeat(20, 1), real)
    assert precision == 1
    assert recall < 0.2


def test_the_class_histogram_and_its_entropy():
    p = torch.eye(4)[torch.tensor([0, 0, 1, 3])]
    shares = metrics.class_histogram(p)
    assert shares.tolist() == [0.5, 0.25, 0, 0.25]
    assert metrics.class_entropy(shares).item() == pytest.approx(1.5 * math.log(2) / math.log(4))
    assert metrics.class_entropy(torch.full((10,), 0.1)).item() == pytest.approx(1)
    assert str(metrics.class_entropy(torch.tensor([0.0, 1.0])).item()) == "0.0"


def test_small_samples_look_a_little_uneven():
    """The mean entropy of N images of even classes is about 1 - (K - 1) / (2 N log K)."""
    draws = torch.randint(10, (400, 200), generator=torch.Generator().manual_seed(0))
    mean = sum(metrics.class_entropy(metrics.class_histogram(torch.eye(10)[d])) for d in draws) / len(draws)
    assert mean.item() == pytest.approx(1 - 9 / (2 * 200 * math.log(10)), abs=0.001)


def test_recognised_counts_the_sure():
    p = torch.tensor([[0.95, 0.05], [0.9, 0.1], [0.2, 0.8], [0.05, 0.95]]).double()
    assert metrics.recognised(p) == 0.5
    assert metrics.recognised(p, 0.7) == 1


def test_nearest_is_an_rmse_of_images():
    x, training = (data.to_unit(data.load("digits", split)[0][:40]) for split in ("test", "train"))
    distance, index = metrics.nearest(x.flatten(1), training.flatten(1))
    for i in (0, 7):
        each = [metrics.rmse(x[i : i + 1], t[None]).item() for t in training]
        assert distance[i].item() == pytest.approx(min(each), rel=1e-6)
        assert index[i] == each.index(min(each))
    copied, which = metrics.nearest(training[5:8].flatten(1), training.flatten(1))
    assert (copied == 0).all()
    assert which.tolist() == [5, 6, 7]


def test_wrong_sets_are_refused():
    a = cloud(20)
    with pytest.raises(ColdlabError, match=r"shapes \(20, 4\) and \(20, 3\)"):
        metrics.precision_recall(a, a[:, :3])
    with pytest.raises(ColdlabError, match="k = 3 neighbours among 3 and 20 images"):
        metrics.precision_recall(a[:3], a)
    with pytest.raises(ColdlabError, match=r"shapes \(0, 4\)"):
        metrics.nearest(a[:0], a)
    with pytest.raises(ColdlabError, match="not finite"):
        metrics.nearest(a.log(), a)
    for wrong in (cloud(5), torch.full((3, 10), 0.2), torch.zeros(0, 10)):
        with pytest.raises(ColdlabError, match="each row summing to 1"):
            metrics.class_histogram(wrong)
    with pytest.raises(ColdlabError, match="two or more shares that sum to 1"):
        metrics.class_entropy(torch.tensor([0.5, 0.6]))
