"""The samplers beside the paper's: what each does with R's guesses, and the severities that are computed."""

import itertools

import pytest
import torch
from helpers import images, rms
from PIL import Image

from coldlab import ColdlabError, data, further, load_pretrained, sampling
from coldlab.__main__ import main
from coldlab.degradations import Blur, Mask, Noise, Snow
from coldlab.further import FURTHER, best_severities, consistent, heun, polyak
from coldlab.linear_proof import white_fraction
from coldlab.training import Config, start, train

D = Blur(16, T=6, kernel=5, std=1.0)


def end(steps):
    *_, (r, x, _) = steps
    assert r == 0
    return x


def crooked(x, s):
    """An R that errs: it darkens, and the more the later."""
    return 0.8 * x - 0.02 * s


@pytest.mark.parametrize("name", FURTHER)
@pytest.mark.parametrize("severities", [None, [6, 4, 1, 0], [6, 0]])
def test_an_oracle_leads_back(name, severities):
    x0 = images().double()
    assert rms(end(FURTHER[name](lambda x, s: x0, D, D(x0, D.T), severities=severities)) - x0) < 1e-5
    assert sampling.sampler(name) is FURTHER[name]


def test_polyak_averages_all_predictions_alike():
    x = D(images().double(), D.T)
    said, R = [], lambda x, s: said.append(crooked(x, s)) or said[-1]
    for k, (_, _, mean) in enumerate(polyak(R, D, x), 1):
        assert torch.allclose(mean, sum(said) / k, atol=1e-12)
    assert k == 6


def test_heun_takes_the_mean_of_both_ends_of_a_step():
    x = D(images().double(), D.T)
    (_, x3, _), (_, x0, last) = heun(crooked, D, x, severities=[6, 3, 0])
    moved = lambda guess: D(guess, 3) - D(guess, 6)  # noqa: E731
    first = moved(crooked(x, 6))
    assert torch.allclose(x3, x + (first + moved(crooked(x + first, 3))) / 2, atol=1e-12)
    assert torch.allclose(last, crooked(x3, 3))  # the last step is Algorithm 2's
    assert torch.allclose(x0, x3 - D(last, 3) + last, atol=1e-12)


def test_heun_follows_the_equation_more_closely_than_euler():
    """dx/ds = dD/ds (R(x, s), s) in steps of one and of six severities: Heun's end is nearer."""
    D = Blur(16, T=60, kernel=5, std=0.4)
    x = D(images().double(), D.T)
    fine, coarse = list(range(60, -1, -1)), list(range(60, -1, -6))
    truth = end(heun(crooked, D, x, severities=fine))
    assert rms(end(heun(crooked, D, x, severities=coarse)) - truth) < 0.5 * rms(
        end(sampling.improved(crooked, D, x, severities=coarse)) - truth
    )


@pytest.mark.parametrize("kind", ["blur", "mask"])
def test_what_is_consistent_degrades_to_what_was_observed(kind):
    D, x0 = (Blur(16, T=3, kernel=5, std=0.7) if kind == "blur" else Mask(16, 5)), images().double()
    z = D.draw(x0, torch.Generator().manual_seed(0))
    x = D(x0, D.T, z)
    for _, _, guess in consistent(crooked, D, x, z):
        assert rms(D(guess, D.T, z) - x) < 0.02 * rms(D(crooked(x, 1), D.T, z) - x)
    if kind == "mask":  # and where the hole is, is read off
        assert torch.equal(
            end(consistent(crooked, D, x, D.infer)), end(consistent(crooked, D, x, D.infer(x, None, D.T)))
        )


def test_without_an_inverse_nothing_is_consistent():
    for D in (Noise(16, T=4), Snow(16, T=4)):
        x = images()
        z = D.draw(x)
        with pytest.raises(ColdlabError, match=f"{type(D).__name__} has no inverse"):
            end(consistent(crooked, D, x, z))


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 6])
def test_the_best_severities_are_the_best(calls):
    found = best_severities(D, calls)
    every = ([6, *reversed(between), 0] for between in itertools.combinations(range(1, 6), calls - 1))
    assert white_fraction(D, (1, 16, 16), found) == pytest.approx(min(white_fraction(D, (1, 16, 16), s) for s in every))
    assert len(found) == calls + 1


def test_best_severities_of_what_has_none():
    with pytest.raises(ColdlabError, match=r"has 1\.\.6"):
        best_severities(D, 7)
    with pytest.raises(ColdlabError, match="Mask here has none"):
        best_severities(Mask(16, 5), 2)
    assert further.best_severities(D, 6) == [6, 5, 4, 3, 2, 1, 0]


# ------------------------------------------------------------------------------------------- images of a class


def labelled(tmp_path):
    """A run of a few steps on the digits, told their classes."""
    small = ["--classes", "10", "--steps", "3", "--batch", "16", "--width", "8", "--mults", "1", "--device", "cpu"]
    assert main(["train", *small, "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_the_images_are_read_once_with_their_labels(tmp_path, monkeypatch):
    """To train with classes, to go on, and to draw from one class: a large folder takes minutes to read."""
    read, load = [], data.load
    monkeypatch.setattr(
        data, "load", lambda name, split="train", *more, **how: read.append(split) or load(name, split, *more, **how)
    )
    run = labelled(tmp_path)
    assert read == ["train"]
    assert main(["train", "--resume", "--steps", "4", "--out", str(run), "--device", "cpu"]) == 0
    assert read == ["train"] * 2
    drawn = ["--label", "3", "--count", "2", "--components", "2", "--out", str(tmp_path / "samples")]
    assert main(["sample", "--pretrained", str(run), *drawn, "--device", "cpu"]) == 0
    assert read == ["train"] * 3


def test_a_network_is_asked_for_a_class(tmp_path, capsys):
    R = load_pretrained(labelled(tmp_path))
    x = torch.rand(2, 1, 32, 32)
    label = torch.full((len(x),), 7)
    told, untold = R(x, 3, label), R(x, 3)
    assert rms(told - untold) > 0
    assert torch.equal(further.asked(R, 7)(x, 3), told)
    assert torch.allclose(further.asked(R, 7, 0.0)(x, 3), untold, atol=1e-6)
    assert torch.allclose(further.asked(R, 7, 3.0)(x, 3), untold + 3 * (told - untold), atol=1e-5)
    for label, guidance in ((10, 1.0), (-1, 1.0), (3, -0.5)):
        with pytest.raises(ColdlabError, match=r"labels are 0\.\.9"):
            further.asked(R, label, guidance)
    with pytest.raises(ColdlabError, match="knows no classes"):
        further.asked(load_pretrained("digits-blur"), 7)
    there = ["--pretrained", str(tmp_path / "run"), "--out", str(tmp_path / "samples"), "--device", "cpu"]
    there += ["--count", "4", "--components", "2"]
    assert main(["sample", *there, "--label", "3", "--guidance", "2"]) == 0
    assert (tmp_path / "samples" / "samples.png").exists()
    for words, sentence in (
        (["--guidance", "2"], "no --label"),
        (["--label", "12"], "labels are 0..9"),
        (["--label", "3", "--start", "test"], "leave --label out"),
    ):
        capsys.readouterr()
        assert main(["sample", *there, *words]) == 2
        assert sentence in capsys.readouterr().err


def test_classes_that_the_data_has_not_are_refused(tmp_path, capsys):
    assert main(["train", "--classes", "3", "--steps", "1", "--out", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "--classes 3, and the images of digits have 10" in capsys.readouterr().err
    (tmp_path / "images").mkdir()
    for k in range(12):
        Image.new("L", (16, 16), 20 * k).save(tmp_path / "images" / f"{k}.png")
    folder = ["--dataset", str(tmp_path / "images"), "--degradation", "blur", "--classes", "3"]
    assert main(["train", *folder, "--steps", "1", "--out", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "have no labels" in capsys.readouterr().err


def test_without_labels_a_network_with_classes_learns_what_fits():
    """As when its steps are only timed: `reproduce mnist-blur-classes --budget 2m`, `bench --classes 10`."""
    config = Config(size=16, channels=1, width=8, mults=(1,), steps=2, batch=4, classes=4, options=dict(T=3))
    D, state = start(config)
    losses = [loss.item() for _, loss in train(state, D, torch.zeros(8, 1, 16, 16, dtype=torch.uint8), config)]
    assert len(losses) == 2


def test_training_hides_the_class_of_some_images():
    config = Config(
        size=16, channels=1, width=8, mults=(1,), steps=2, batch=400, classes=4, unlabelled=0.25, options=dict(T=3)
    )
    D, state = start(config)
    pixels, labels = torch.randint(0, 256, (64, 1, 16, 16), dtype=torch.uint8), torch.arange(64) % 4
    seen, forward = [], state.R.forward
    state.R.forward = lambda x, t, label=None, **known: seen.append(label) or forward(x, t, label, **known)
    list(train(state, D, pixels, config, labels=labels))
    hidden = (torch.cat(seen) < 0).double().mean()
    assert 0.19 < hidden < 0.31
    assert set(torch.cat(seen).tolist()) == {-1, 0, 1, 2, 3}
