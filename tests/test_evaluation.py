"""What is shown and what is reported: the same rows, the right numbers, the same z for every algorithm."""

import pytest
import torch
from helpers import draw, images, rms

from coldlab import data, metrics
from coldlab.degradations import Blur, Mask
from coldlab.evaluation import ROWS, compare, evaluate, restored, table
from coldlab.features import Classifier
from coldlab.sampling import improved, naive
from coldlab.training import EIGHT_BITS, eight_bits
from coldlab.unet import Preconditioned


class Guess(torch.nn.Module):
    """R that returns a fixed batch, whatever it is shown."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.weight = answer, torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, t):
        return self.answer[: len(x)]


@pytest.mark.parametrize("D", [Blur(16, 4, 5, 1.0), Mask(16, 5)], ids=lambda D: type(D).__name__)
def test_rows_are_what_the_algorithms_give(D):
    x0, R = images(), Guess(images(seed=3))
    rows = compare(R, D, x0, seed=7)
    z = D.draw(x0, torch.Generator().manual_seed(7))
    x = D(x0, D.T, z)
    assert list(rows) == ["degraded", "direct", "Algorithm 1", "Algorithm 2", "last prediction", "original"]
    assert torch.equal(rows["degraded"], x)
    assert torch.equal(rows["direct"], R.answer)
    assert torch.equal(rows["Algorithm 1"], list(naive(R, D, x, z))[-1][1])
    assert torch.equal(rows["Algorithm 2"], list(improved(R, D, x, z))[-1][1])
    assert torch.equal(rows["original"], x0)


def test_the_last_prediction_is_that_of_algorithm_2_at_its_last_step():
    class Counting(Guess):
        def forward(self, x, t):
            return torch.full_like(x, float(t))

    rows = compare(Counting(images()), Blur(16, 4, 5, 1.0), images())
    assert rows["direct"].unique().tolist() == [4]
    assert rows["last prediction"].unique().tolist() == [1]


def test_rounded_images_start_as_files_and_r_is_told():
    told = []

    class Net(torch.nn.Module):
        def forward(self, x, t, label=None):
            return x[:, : x.shape[1] // 2]

    class Spy(Preconditioned):
        def forward(self, x, t, label=None, eps=2e-6):
            told.append(eps)
            return super().forward(x, t, label, eps)

    D = Mask(16, 5, centre="centred")
    rows = compare(Spy(Net(), D), D, images(), rounded=True)
    assert torch.equal(rows["degraded"], eight_bits(rows["degraded"]))
    assert set(told) == {EIGHT_BITS}
    assert not torch.equal(rows["degraded"], compare(Spy(Net(), D), D, images())["degraded"])
    assert told[-1] == 2e-6


def test_fewer_severities_start_from_the_first():
    D, x0 = Blur(16, 4, 5, 1.0), images()
    assert torch.equal(compare(Guess(x0), D, x0, [2, 1, 0])["degraded"], D(x0, 2))


def test_numbers_are_those_of_all_images_together_in_any_batches():
    D = Blur(16, 4, 5, 1.0)
    uint8 = data.to_uint8(images(10, 1))
    x0 = data.to_float(uint8)
    answer = x0 + 0.2 * images(10, 1, seed=5)

    class Answers(Guess):
        def forward(self, x, t):
            match = [(D(x0, D.T) - one).abs().flatten(1).sum(1).argmin().item() for one in x]
            return self.answer[match]

    direct = evaluate(Answers(answer), D, uint8, batch=4)["direct"]
    expected = data.to_unit(answer), data.to_unit(uint8)
    assert direct["rmse"] == pytest.approx(rms(expected[0] - expected[1]), rel=1e-4)
    assert direct["ssim"] == pytest.approx(metrics.ssim(*expected).item(), rel=1e-4)
    assert direct["psnr"] == pytest.approx(metrics.psnr(*expected).item(), rel=1e-4)


def test_an_oracle_restores_without_error():
    D, uint8 = Mask(16, 5), data.to_uint8(images(4, 1))
    table = evaluate(Guess(data.to_float(uint8)), D, uint8)
    assert set(table) == {*ROWS} - {"original"}
    assert table["degraded"]["rmse"] > 0.05
    for row in ("direct", "Algorithm 1", "Algorithm 2", "last prediction"):
        assert table[row]["rmse"] < 1e-6
        assert table[row]["ssim"] == pytest.approx(1, abs=1e-5)


def test_the_latent_is_drawn_from_the_seed():
    D, x0 = Mask(16, 5), images()
    assert torch.equal(compare(Guess(x0), D, x0)["degraded"], D(x0, D.T, draw(D, x0, seed=0)))


def test_the_table_has_the_distance_of_its_net_and_intervals():
    D, uint8 = Blur(16, 4, 5, 1.0), data.to_uint8(images(40, 1))
    rows = restored(Guess(data.to_float(uint8)), D, uint8, batch=40)
    net = Classifier(1, 4).eval()
    values, intervals = table(rows, net, resamples=40)
    name = metrics.frechet_name(net)
    expected = metrics.frechet(metrics.extract(net, rows["degraded"]), metrics.extract(net, rows["original"])).item()
    assert values["degraded"][name] == pytest.approx(expected)
    assert expected > 10 * values["direct"][name] >= 0
    low, high = intervals["degraded"]["rmse"]
    assert low < values["degraded"]["rmse"] < high
    assert set(intervals["degraded"]) == {"rmse", "psnr", "ssim", name}
    plain, none = table(rows)
    assert plain == {row: {k: v for k, v in measures.items() if k != name} for row, measures in values.items()}
    assert none == {row: {} for row in values}
    net.dim = 300  # as if it were a large net: a bootstrap of large covariances takes too long
    assert name not in table(rows, net, resamples=40)[1]["direct"]
