"""A sampler is its entry in SAMPLERS: every command takes it by name, and no image depends on the batch it is in."""

import json
import os

import pytest
import torch
from helpers import images

import coldlab
from coldlab import checkpoints, data, presets, sampling
from coldlab.__main__ import main
from coldlab.degradations import EIGHT_BITS, FLOAT32, each
from coldlab.evaluation import begin, compare, latents, sees_files
from coldlab.lab import experiments, reproduce
from coldlab.linear_proof import error_law
from coldlab.sampling import SAMPLERS, averaged, improved, naive, sampler, samplers

CALLED = []


def mine(R, D, x, z=None, severities=None):
    """Algorithm 2 that says it was called."""
    CALLED.append("mine")
    yield from improved(R, D, x, z, severities)


@pytest.fixture
def added(monkeypatch):
    monkeypatch.setitem(SAMPLERS, "mine", mine)
    CALLED.clear()


@pytest.mark.usefixtures("added")
def test_evaluate_takes_a_new_sampler(capsys):
    assert main(["evaluate", "--limit", "8", "--resamples", "0", "--sampler", "mine", "--device", "cpu", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["metrics"]
    assert list(rows) == ["degraded", "direct", "mine"]
    assert CALLED == ["mine"]


@pytest.mark.usefixtures("added")
def test_evaluate_shows_every_sampler_by_itself(capsys):
    few = ["evaluate", "--limit", "8", "--resamples", "0", "--device", "cpu", "--json"]
    assert main(few) == 0
    rows = json.loads(capsys.readouterr().out)["metrics"]
    assert list(rows) == ["degraded", "direct", "Algorithm 1", "Algorithm 2", "last prediction", "averaged"]
    assert main([*few, "--sampler", "improved", "mine"]) == 0
    both = json.loads(capsys.readouterr().out)["metrics"]
    assert both["mine"] == both["Algorithm 2"] == rows["Algorithm 2"]


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("start", ["mean", "test"])
def test_sample_takes_a_new_sampler(tmp_path, start):
    arguments = ["--start", start, "--count", "2", "--steps", "2", "--sampler", "mine", "--device", "cpu"]
    assert main(["sample", *arguments, "--out", str(tmp_path)]) == 0
    assert CALLED


@pytest.mark.usefixtures("added")
def test_restore_takes_a_new_sampler(tmp_path):
    from PIL import Image

    Image.fromarray(data.load("digits", "test")[0][0, 0].numpy()).save(tmp_path / "digit.png")
    arguments = ["--degrade", "--severity", "3", "--sampler", "mine", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["restore", str(tmp_path / "digit.png"), *arguments]) == 0
    assert CALLED == ["mine"]


@pytest.mark.filterwarnings("always::UserWarning")  # a digit that is not blurred
def test_a_sampler_that_asks_how_exact_a_file_is_is_told(tmp_path, monkeypatch):
    from PIL import Image

    told = []

    def asking(R, D, x, z=None, severities=None, eps=FLOAT32):
        told.append(eps)
        yield from improved(R, D, x, z, severities)

    monkeypatch.setitem(SAMPLERS, "asking", asking)
    Image.fromarray(data.load("digits", "test")[0][0, 0].numpy()).save(tmp_path / "digit.png")
    use = ["--severity", "3", "--sampler", "asking", "--device", "cpu", "--out", str(tmp_path / "out")]
    for more in ([], ["--degrade"]):
        assert main(["restore", str(tmp_path / "digit.png"), *use, *more]) == 0
    assert told == [EIGHT_BITS, FLOAT32]
    R, x0 = coldlab.load_pretrained("digits-blur"), data.to_float(data.load("digits", "test")[0][:2])
    for rounded, tell in ((False, True), (True, True), (True, False)):
        compare(R, R.D, x0, None, [3, 0], rounded, {"asking": asking}, tell)
    assert told[2:] == [FLOAT32, EIGHT_BITS, FLOAT32]


def test_restore_takes_one_call_when_told(tmp_path, monkeypatch):
    from PIL import Image

    from coldlab.unet import Preconditioned

    calls, forward = [], Preconditioned.forward
    monkeypatch.setattr(
        Preconditioned, "forward", lambda R, x, t, *a, **k: calls.append(t) or forward(R, x, t, *a, **k)
    )
    Image.fromarray(data.load("digits", "test")[0][0, 0].numpy()).save(tmp_path / "digit.png")
    arguments = ["--degrade", "--severity", "3", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["restore", str(tmp_path / "digit.png"), *arguments, "--sampler", "direct"]) == 0
    assert len(calls) == 1
    assert main(["restore", str(tmp_path / "digit.png"), *arguments]) == 0
    assert len(calls) == 4


@pytest.mark.usefixtures("added")
def test_reproduce_takes_a_new_sampler(tmp_path, monkeypatch):
    quick = presets.Preset("digits", 16, "blur", dict(T=3))
    monkeypatch.setitem(presets.PRESETS, "digits-blur", quick)
    tiny = experiments.Experiment("digits-blur", 3, dict(width=8, mults=(1,), batch=8))
    monkeypatch.setitem(experiments.EXPERIMENTS, "digits-blur", tiny)
    monkeypatch.setattr(reproduce, "RESAMPLES", 5)
    where = ["--out", str(tmp_path / "run"), "--results", str(tmp_path / "results"), "--device", "cpu"]
    assert main(["reproduce", "digits-blur", "--sampler", "mine", *where]) == 0
    manifest = json.loads((tmp_path / "results/digits-blur.json").read_text(encoding="utf-8"))
    assert {"degraded", "direct", "mine"} <= set(manifest["metrics"])
    assert "Algorithm 2" not in manifest["metrics"]
    assert CALLED


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sampler", "improvd"], "unknown sampler 'improvd'; did you mean 'improved'"),
        (["--sampler", "improved", "--weight", "0.5"], " weight; leave it out, or"),
        (["--sampler", "averaged", "--weight", "0"], "weight 0.0; it must be above 0"),
        (["--sampler", "averaged", "--weight", "nan"], "weight nan; it must be a number above 0 and up to 1"),
    ],
)
@pytest.mark.parametrize("command", [["evaluate"], ["sample"], ["restore", "x.png"], ["reproduce", "digits-blur"]])
def test_a_wrong_sampler_or_weight_is_told_before_any_work(capsys, command, arguments, words):
    assert main([*command, *arguments]) == 2
    assert words in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ averaged predictions


def noisy(x0):
    """R with an error that differs from call to call, the same on every run."""
    draw = torch.Generator().manual_seed(3)
    return lambda x, t: x0 + 0.3 * torch.randn(x0.shape, generator=draw, dtype=torch.float64).to(x0)


@pytest.mark.parametrize("D", [coldlab.degradations.make(name, 16) for name in ("blur", "pixelate", "desaturate")])
def test_weight_1_is_algorithm_2_bit_for_bit(D):
    x0 = images()
    one, two = averaged(noisy(x0), D, D(x0, D.T), weight=1), improved(noisy(x0), D, D(x0, D.T))
    for (r, x, guess), (s, y, other) in zip(one, two, strict=True):
        assert r == s
        assert torch.equal(x, y)
        assert torch.equal(guess, other)


def test_a_small_weight_is_direct_restoration():
    D, x0 = coldlab.degradations.Blur(16, 6, 5, 1.0), images()
    first = next(improved(noisy(x0), D, D(x0, D.T)))[2]
    *_, (_, end, guess) = averaged(noisy(x0), D, D(x0, D.T), weight=1e-9)
    assert torch.allclose(guess, first, atol=1e-6)
    *_, (_, kept, _) = improved(lambda x, t: first, D, D(x0, D.T))  # one prediction, kept to the end
    assert torch.allclose(end, kept, atol=1e-5)


@pytest.mark.parametrize("weight", [0.05, 0.3, 1.0])
def test_an_oracle_returns_the_original(weight):
    for name in ("blur", "pixelate", "mask", "snow", "noise", "blur+mask"):
        D, x0 = coldlab.degradations.make(name, 16), images()
        z = D.draw(x0, torch.Generator().manual_seed(0)) if D.needs_z else None
        *_, (r, end, _) = averaged(lambda x, t, x0=x0: x0, D, D(x0, D.T, z), z, weight=weight)
        assert r == 0
        assert (end - x0).abs().max() < 1e-5, name


@pytest.mark.parametrize("weight", [0.1, 0.4])
def test_the_error_law_holds_with_averaged_errors(weight):
    """The end is x0 + sum_s (B_r - B_s) (the running mean of the errors up to s), to 1e-5."""
    D, x0 = coldlab.degradations.Blur(16, 8, 5, 1.0), images(dtype=torch.float64)
    said, severities = {}, list(range(D.T, -1, -1))
    R = noisy(x0)

    def spied(x, t):
        said[t] = R(x, t) - x0
        return x0 + said[t]

    *_, (_, end, _) = averaged(spied, D, D(x0, D.T), weight=weight)
    mean, means = None, {}
    for s in severities[:-1]:
        mean = said[s] if mean is None else (1 - weight) * mean + weight * said[s]
        means[s] = mean
    *_, (_, _, two) = error_law(D, means)
    assert (end - x0 - two).abs().max() < 1e-5
    *_, (_, _, newest) = error_law(D, said)
    assert (end - x0 - newest).abs().max() > 1e-3  # or the law would say nothing


def test_samplers_are_found_by_name_with_their_weight():
    assert sampler("naive") is naive
    assert set(samplers()) == {"naive", "improved", "averaged"} < set(SAMPLERS)
    chosen = samplers(("improved", "averaged"), 0.25)
    assert list(chosen) == ["improved", "averaged"]
    assert chosen["averaged"].keywords == {"weight": 0.25}


@pytest.mark.parametrize("name", ["inverse", "generation-mnist"])
@pytest.mark.parametrize("option", [["--sampler", "naive"], ["--weight", "0.2"]])
def test_results_without_samplers_take_none(name, option, tmp_path, capsys):
    assert main(["reproduce", name, *option, "--results", str(tmp_path)]) == 2
    assert f"{name} is not judged by samplers; leave --sampler and --weight out." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- alone or in a batch of 256


class Beginning:
    """R, asked for the beginning of a walk only once: it is the same for all samplers."""

    def __init__(self, R):
        self.R, self.wide, self.known = R, getattr(R, "wide", False), None

    def __call__(self, x, t):
        if self.known is None:
            self.known = x, t, self.R(x, t)
        begun, at, x0 = self.known
        return x0 if t == at and torch.equal(x, begun) else self.R(x, t)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # walked whole, faces of 64 pixels take more than the 600 s of other tests
@pytest.mark.parametrize("name", checkpoints.pretrained())
def test_an_image_comes_out_the_same_alone_and_in_a_batch(name):
    """At most 1e-4 apart on [-1, 1] after each sampler's trajectory. COLDLAB_WHOLE=1: the longest ones whole, too."""
    R = coldlab.load_pretrained(name)
    D, c = R.D, R.config
    batch = data.to_uint8(photographs(256, c.channels, c.size))
    x0, z = data.to_float(batch), latents(D, batch)
    severities = sampling.evenly(D.T, D.T if D.T <= 20 or os.environ.get("COLDLAB_WHOLE") else 10)
    told, x, seen = begin(R, D, x0, z, D.T, sees_files(R))
    able = {n: f for n, f in SAMPLERS.items() if n != "consistent" or D.inverse(x[:1], D.T) is not None}
    told = Beginning(told)
    together = {name: list(f(told, D, x, seen, severities))[-1][1] for name, f in able.items()}
    for i in (0, 100, 255):
        alone, x_alone, one = begin(R, D, x0[i : i + 1], each(lambda v, i=i: v[i : i + 1], z), D.T, sees_files(R))
        assert torch.equal(x[i : i + 1], x_alone)
        for name, f in able.items():
            *_, (_, single, _) = f(alone, D, x_alone, one, severities)
            assert (together[name][i : i + 1] - single).abs().max() < 1e-4, (name, i)


def photographs(count, channels, size):
    """Pieces of the two photographs that scikit-learn ships, in [-1, 1]."""
    from sklearn.datasets import load_sample_images

    draw, pieces = torch.Generator().manual_seed(0), []
    pictures = [torch.from_numpy(picture.copy()).permute(2, 0, 1) for picture in load_sample_images().images]
    for i in range(count):
        picture = pictures[i % 2]
        top, left = (torch.randint(n - 2 * size, (1,), generator=draw).item() for n in picture.shape[1:])
        pieces.append(picture[:channels, top : top + 2 * size : 2, left : left + 2 * size : 2])
    return data.to_float(torch.stack(pieces))
