"""What is shown and what is reported: the same rows, the right numbers, the same z for every algorithm."""

import pytest
import torch
from helpers import CASES, case, images, rms

from coldlab import data, metrics, sampling
from coldlab.data import eight_bits
from coldlab.degradations import EIGHT_BITS, Blur, Mask
from coldlab.evaluation import compare, compared, evaluate, latents, restored, table
from coldlab.metrics.features import Classifier
from coldlab.sampling import SAMPLERS, averaged, improved, naive
from coldlab.unet import Preconditioned

ROWS = ["degraded", "direct", "Algorithm 1", "Algorithm 2", "last prediction", "averaged", "original"]


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
    z = D.draw(x0, torch.Generator().manual_seed(7))
    rows = compare(R, D, x0, z)
    x = D(x0.double(), D.T, z).float()
    assert list(rows) == ROWS
    assert torch.equal(rows["degraded"], x)
    assert torch.equal(rows["direct"], R.answer)
    assert torch.equal(rows["Algorithm 1"], list(naive(R, D, x, z))[-1][1])
    assert torch.equal(rows["Algorithm 2"], list(improved(R, D, x, z))[-1][1])
    assert torch.equal(rows["averaged"], list(averaged(R, D, x, z))[-1][1])
    assert torch.equal(rows["original"], x0)


def test_a_new_sampler_is_a_row_of_its_own(monkeypatch):
    monkeypatch.setitem(SAMPLERS, "mine", lambda R, D, x, z=None, severities=None: iter([(0, x + 1, x)]))
    rows = compare(Guess(images()), Blur(16, 4, 5, 1.0), images(), samplers=sampling.samplers(("naive", "mine")))
    assert torch.equal(rows["mine"], rows["degraded"] + 1)
    only = compare(Guess(images()), Blur(16, 4, 5, 1.0), images(), samplers={"mine": SAMPLERS["mine"]})
    assert list(only) == ["degraded", "direct", "mine", "original"]


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
    assert torch.equal(compare(Guess(x0), D, x0, severities=[2, 1, 0])["degraded"], D(x0.double(), 2).float())


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
    for row in ("direct", "Algorithm 1", "Algorithm 2", "last prediction", "averaged"):
        assert table[row]["rmse"] < 1e-6
        assert table[row]["ssim"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if case(name).needs_z])
def test_an_images_latent_depends_on_its_place_and_the_seed_alone(name):
    """Neither on the batch, nor on how many images there are (but for animorph, whose z is another of them)."""
    D = case(name)
    uint8 = data.to_uint8(images(9, 3))
    x0, z, again = data.to_float(uint8), latents(D, uint8, seed=4), latents(D, uint8, seed=4)
    assert torch.equal(D(x0, D.T, z), D(x0, D.T, again))
    assert not torch.equal(D(x0, D.T, z), D(x0, D.T, latents(D, uint8, seed=5)))
    later = latents(D, uint8[3:], seed=4, first=3)
    if "animorph" not in name:
        assert torch.equal(D(x0, D.T, z)[3:], D(x0[3:], D.T, later))


@pytest.mark.parametrize("name", [name for name in CASES if case(name).needs_z])
def test_numbers_do_not_depend_on_the_batch(name):
    D, uint8 = case(name), data.to_uint8(images(13, 3))
    R = Guess(torch.zeros(13, 3, 16, 16))
    one, other = evaluate(R, D, uint8, batch=4), evaluate(R, D, uint8, batch=13)
    for row, measures in one.items():
        assert measures == pytest.approx(other[row], rel=1e-6), row


def test_small_images_have_every_measure_but_ssim():
    D, uint8 = Mask(8, 5), data.to_uint8(images(4, 1, 8))
    table = evaluate(Guess(data.to_float(uint8)), D, uint8)
    assert set(table["direct"]) == {"rmse", "psnr"}


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


def test_differences_are_paired():
    """Two restorations whose own intervals overlap by far, and of which one is better image by image."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(200, 1, 32, 32, generator=generator)
    error = torch.rand(200, 1, 1, 1, generator=generator) * torch.randn(truth.shape, generator=generator) / 4
    rows = {"one": (truth + error).clamp(0, 1), "other": (truth + 0.97 * error).clamp(0, 1), "original": truth}
    net = Classifier(1, 4).eval()
    values, intervals, differences = compared(rows, net, resamples=200)
    assert (values, intervals) == table(rows, net, resamples=200)
    name = metrics.frechet_name(net)
    assert list(differences) == ["one"]
    found = differences["one"]["other"]
    assert set(found) == {"rmse", "ssim", name}
    assert intervals["other"]["rmse"][1] > intervals["one"]["rmse"][0]
    for measure, sign in (("rmse", 1), ("ssim", -1)):
        low, high = found[measure]
        assert 0 < min(sign * low, sign * high)
        assert low <= values["one"][measure] - values["other"][measure] <= high
    low, high = found[name]
    assert low < values["one"][name] - values["other"][name] < high
    assert high - low < intervals["one"][name][1] - intervals["one"][name][0]
    assert compared(rows)[2] == {"one": {"other": {}}}


def test_the_rounding_of_a_file_may_be_kept_from_r():
    seen = []

    class Net(torch.nn.Module):
        def forward(self, x, t, label=None):
            return x[:, : x.shape[1] // 2]

    class Spy(Preconditioned):
        def forward(self, x, t, label=None, eps=2e-6):
            seen.append(eps)
            return super().forward(x, t, label, eps)

    D = Blur(16, 4, 5, 1.0)
    ways = [compare(Spy(Net(), D), D, images(), rounded=True, samplers={}, tell=tell) for tell in (True, False)]
    assert seen == [EIGHT_BITS, 2e-6]
    assert torch.equal(*(rows["degraded"] for rows in ways))
    assert torch.equal(ways[1]["degraded"], eight_bits(ways[1]["degraded"]))
