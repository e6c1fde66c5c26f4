"""The study of transforms: equal damage, what is told of z, the deviation from the theorem; and animorph into a set."""

import json

import pytest
import torch
from helpers import images

from coldlab import ColdlabError, checkpoints, data, evaluation, metrics, presets, sampling
from coldlab.__main__ import main
from coldlab.degradations import Animorph, Degradation, family, make
from coldlab.lab import experiments, transforms

TINY = dict(width=8, mults=(1,), patch=4, batch=8, precondition=False, residual=True)
pytestmark = pytest.mark.filterwarnings("ignore:.*dominated by its bias:UserWarning")  # a dozen images are few


class Drift(Degradation):
    """D(x, s) = x + s e: what the theorem asks for."""

    T = 10

    def __init__(self):
        torch.nn.Module.__init__(self)

    def degrade(self, x0, t, z):
        return x0 + 0.05 * t * torch.linspace(-1, 1, x0.shape[-1], dtype=x0.dtype)


class Knows(torch.nn.Module):
    """An R with a D that returns what it is told to."""

    def __init__(self, D, says):
        super().__init__()
        self.D, self.says = D, says

    def forward(self, x, t):
        return self.says(x, t)


@pytest.fixture
def tiny(monkeypatch):
    """Four networks of three steps on the digits: z none, read, told, and from another set."""
    some = {
        "digits-mask": presets.Preset("digits", 32, "mask", dict(T=4)),
        "digits-snow": presets.Preset("digits", 32, "snow", dict(T=6)),
        "digits-animorph": presets.Preset("digits", 32, "animorph", dict(T=8, into="digits")),
    }
    monkeypatch.setattr(presets, "PRESETS", presets.PRESETS | some)
    names = ("blur", "mask", "snow", "animorph")
    small = {f"transforms-{name}": experiments.Experiment(f"digits-{name}", 3, TINY) for name in names}
    monkeypatch.setattr(experiments, "TRANSFORMS", small)
    monkeypatch.setattr(transforms, "COUNT", 12)
    monkeypatch.setattr(transforms, "RESAMPLES", 10)
    monkeypatch.setattr(transforms, "TRIED", 20)
    return small


def test_the_study_trains_judges_and_draws_every_transform(tiny, tmp_path, capsys):
    out = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "r"), "--device", "cpu"]
    assert main(["reproduce", "transforms", *out]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("RMSE", "deviation", "blur", "animorph", "transforms.json"))
    manifest = json.loads((tmp_path / "r/transforms.json").read_text(encoding="utf-8"))
    assert manifest["command"] == "python -m coldlab reproduce transforms"
    assert manifest["machine"]["torch"] == torch.__version__
    assert (manifest["test_images"], manifest["damage"], manifest["calls"]) == (12, transforms.DAMAGE, transforms.CALLS)
    found = manifest["transforms"]
    assert {name: of["latent"] for name, of in found.items()} == {
        "blur": "none",
        "mask": "read",
        "snow": "told",
        "animorph": "told",
    }
    plain = {"degraded", "direct", "Algorithm 1", "Algorithm 2", "averaged"}
    for name, of in found.items():
        assert set(of["metrics"]) == plain | ({transforms.UNTOLD} if of["latent"] == "told" else set())
        assert of["network"]["images_seen"] == 3 * 8
        assert of["network"]["commit"]
        assert of["severities"][0] == of["start"] <= of["T"]
        for row, values in of["metrics"].items():
            for measure in ("rmse", "ssim"):
                low, high = of["intervals"][row][measure]
                assert low <= values[measure] <= high
        assert 0 < of["deviation"]["images"] < 2
        R = checkpoints.load_weights(tmp_path / "runs" / f"transforms-{name}" / "model.safetensors")
        rows = evaluation.restored(R, R.D, data.load("digits", "test", 32)[0][:12], severities=of["severities"])
        rmse = metrics.rmse(rows["Algorithm 2"], rows["original"]).item()
        assert of["metrics"]["Algorithm 2"]["rmse"] == pytest.approx(rmse, rel=1e-4)
    written = {p.name for p in (tmp_path / "r").iterdir()}
    assert written == {"transforms.json", "transforms.webp", "transforms-morph.webp"}
    before = (tmp_path / "runs/transforms-blur/model.safetensors").stat().st_mtime_ns
    assert main(["reproduce", "transforms", *out]) == 0  # runs that are there are only judged again
    assert (tmp_path / "runs/transforms-blur/model.safetensors").stat().st_mtime_ns == before
    assert main(["reproduce", "transforms", "--sampler", "naive", *out]) == 2
    assert "not judged by samplers" in capsys.readouterr().err
    assert main(["reproduce", "--list"]) == 0
    assert "transforms, a network of" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", experiments.TRANSFORMS)
def test_all_networks_are_trained_alike(name):
    config, first = (experiments.experiment(n).config() for n in (name, next(iter(experiments.TRANSFORMS))))
    rest = ("dataset", "degradation", "options", "zoom")
    differ = [field for field in vars(config) if vars(config)[field] != vars(first)[field] and field not in rest]
    assert differ == []
    assert not config.precondition


def test_it_begins_where_the_damage_is_as_asked():
    some = data.load("digits", "train", 32)[0][:20]
    x0 = data.to_unit(data.to_float(some))
    D = make("blur", 32, std=1.0)
    t = transforms.begun(Knows(D, None), some, 0.2)
    off = {s: abs(metrics.rmse(data.to_unit(D(data.to_float(some), s)), x0).item() - 0.2) for s in range(1, 21)}
    assert 1 < t < 20
    assert off[t] == min(off.values())
    assert transforms.begun(Knows(D, None), some, 0.9) == D.T  # where it never comes so far


def test_the_deviation_is_none_under_the_theorem_and_one_where_nothing_is_left():
    x, y = images(4, 3, 32).double(), images(4, 3, 32, seed=1).double()
    assert transforms.deviation(Drift(), x, y, 10) < 1e-12
    noise = make("noise", 32, T=200)
    z = noise.draw(x)
    for t in (10, 100, 200):
        assert transforms.deviation(noise, x, y, t, z) == pytest.approx(1 - noise.exact["a"][t].item(), rel=1e-6)


@pytest.mark.parametrize("name", ["blur", "mask", "snow", "fade", "animorph"])
def test_of_a_prediction_it_is_what_one_step_of_algorithm_2_keeps(name):
    D = make(name, 32, **(dict(T=20) if name != "blur" else {}))
    x, says = images(4, 3, 32).double(), images(4, 3, 32, seed=1).double()
    z = D.draw(x)
    *_, (_, end, _) = sampling.improved(lambda x_s, s: says, D, D(x, 9, z), z, [9, 0])
    kept = ((end - x).square().mean() / (says - x).square().mean()).sqrt().item()
    assert transforms.deviation(D, x, says, 9, z) == pytest.approx(kept, rel=1e-9)


def test_what_is_not_told_is_estimated_or_drawn_anew():
    some = data.load("digits", "test", 32)[0][:6]

    def guess(x, t):
        return 0.5 * x

    R = Knows(make("noise", 32, T=8), guess)
    x0, z = transforms.placed(R, some)
    *_, (_, ddim, _) = sampling.improved(R, R.D, R.D(x0, 5, z), R.D.infer, transforms.path_from(5))
    assert (transforms.untold(R, some, 5) - data.to_unit(ddim)).abs().max() < 1e-6
    R = Knows(make("snow", 32, T=8), guess)
    other = evaluation.latents(R.D, some, seed=1)
    x0, z = transforms.placed(R, some)
    ends = [list(sampling.improved(R, R.D, R.D(x0, 5, z), way, transforms.path_from(5)))[-1][1] for way in (z, other)]
    found = transforms.untold(R, some, 5)
    assert (found - data.to_unit(ends[1])).abs().max() < 1e-6
    assert (found - data.to_unit(ends[0])).abs().max() > 0.1


def test_animorph_draws_from_another_set():
    D = make("animorph", 32, into="digits")
    digits = data.to_float(data.load("digits", "train", 32)[0])
    x0 = images(5, 3, 32)
    z = D.draw(x0, torch.Generator().manual_seed(3))
    assert z.shape == x0.shape
    assert torch.equal(z[:, 0], z[:, 2])  # grey digits for colour images
    assert all((digits[:, 0] == one[0]).flatten(1).all(1).any() for one in z)
    assert torch.equal(z, D.draw(x0, torch.Generator().manual_seed(3)))
    assert not torch.equal(z, D.draw(x0, torch.Generator().manual_seed(4)))
    assert D.draw(images(1, 1, 32)).shape == (1, 1, 32, 32)  # alone, too
    assert family.images_of("digits", 32) is family.images_of("digits", 32)
    with pytest.raises(ColdlabError, match="no-such-set"):
        Animorph(32, into="no-such-set").draw(x0)


def test_a_colour_set_turns_grey_for_grey_images(monkeypatch):
    colours = torch.randint(0, 256, (7, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(family, "images_of", lambda name, size: colours)
    z = Animorph(16, into="colours").draw(images(4, 1, 16), torch.Generator().manual_seed(0))
    grey = data.to_float(colours).mean(1, keepdim=True)
    assert z.shape == (4, 1, 16, 16)
    assert all((grey - one).abs().flatten(1).amax(1).min() < 1e-6 for one in z)
