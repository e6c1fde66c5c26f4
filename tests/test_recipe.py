"""The trials behind the default recipe: equal work, held-out images as the judge, and a manifest."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from coldlab import depthwise
from coldlab.__main__ import main
from coldlab.lab import experiments, recipe
from coldlab.training import Config, start


@pytest.mark.parametrize("name", experiments.RECIPES)
def test_every_trial_costs_the_same(name, monkeypatch):
    """In convolutions, whichever way a CPU takes for the small ones."""
    monkeypatch.setattr(depthwise, "SMALL", 0)
    what = experiments.experiment(name)
    config = what.config()
    D, state = start(Config(**vars(config) | dict(channels=1, size=32)), torch.device("cpu"))
    with FlopCounterMode(display=False) as counted:
        state.R(torch.zeros(4, 1, 32, 32), torch.full((4,), D.T)).mean().backward()
    assert config.steps * config.batch * counted.get_total_flops() / 4 == pytest.approx(recipe.WORK, rel=2e-3)


def test_what_letters_say_of_each_other():
    """Each trial is told by what it changes of another: read as settings, that is what it has."""
    of = {name.removeprefix("recipe-"): what.config(1) for name, what in experiments.RECIPES.items()}
    assert len(set(map(str, of.values()))) == len(of)
    for letter, base, changes in (
        ("B", "A", {"timestep_bias"}),
        ("D", "B", {"attention"}),
        ("C", "D", {"width", "mults"}),
        ("E", "D", {"patch"}),
        ("J", "D", {"timestep_bias"}),
        ("K", "J", {"width"}),
        ("N", "J", {"lr"}),
        ("H", "J", {"lr"}),
        ("G", "J", {"batch", "lr"}),
        ("P", "G", {"precondition"}),
    ):
        one, other = vars(of[letter]), vars(of[base])
        assert {key for key in one if one[key] != other[key]} == changes, letter
    changed = {key for key, value in vars(of["G"]).items() if value != getattr(Config(), key)}
    assert changed == {"dataset", "options", "size", "timestep_bias", "steps"}  # the default, but for late severities


def test_trials_are_trained_judged_and_listed(monkeypatch, tmp_path, capsys):
    small = dict(width=8, mults=(1,), batch=8, held_out=8)
    trials = {f"recipe-{letter}": experiments.Experiment("digits-blur", 2, small, seen=letter) for letter in "XY"}
    monkeypatch.setattr(experiments, "RECIPES", trials)
    folders = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "r"), "--device", "cpu"]
    assert main(["reproduce", "recipe", *folders]) == 0
    assert "direct RMSE" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "r/recipe.json").read_text(encoding="utf-8"))
    assert list(manifest["trials"]) == ["X", "Y"]
    assert manifest["held_out_images"] == 8
    for letter, trial in manifest["trials"].items():
        assert trial["change"] == letter
        assert trial["network"]["images_seen"] == 16
        assert 0 < trial["direct"]["rmse"] < 1
        assert set(trial["improved"]) == {"rmse", "ssim"}
