"""Training that begins with a network in place of random weights: `train --pretrained`."""

import dataclasses
import json

import pytest
import torch
from test_resume import pictures
from test_training import equal_states

from coldlab import checkpoints, load_pretrained
from coldlab.__main__ import main
from coldlab.lab import experiments, reproduce, starts

pytestmark = pytest.mark.filterwarnings("always::UserWarning")
SHORT = ["--steps", "4", "--save-every", "2", "--batch", "4", "--device", "cpu", "--held-out", "0"]
TINY = ["--options", "T=2", "--width", "8", "--mults", "1"]


@pytest.fixture
def first(tmp_path):
    """A run on the digits, tmp_path/first."""
    assert train(tmp_path / "first", *TINY, "--seed", "1", "--rounded", "0.5") == 0
    return tmp_path / "first"


def train(out, *more):
    return main(["train", *SHORT, *map(str, more), "--out", str(out)])


def refusal(capsys, out, *more):
    """The one sentence that `train` ends with; nothing may be written."""
    capsys.readouterr()
    assert train(out, *more) == 2
    assert not out.exists() or out.name == "first"
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("coldlab: ")]
    return line


def test_a_run_begins_with_the_weights_of_the_network(tmp_path):
    out = tmp_path / "run"
    assert train(out, "--pretrained", "digits-blur", "--lr", "1e-12") == 0
    begun, before = load_pretrained(out), load_pretrained("digits-blur")
    for name, value in before.state_dict().items():
        torch.testing.assert_close(begun.state_dict()[name], value, atol=1e-7, rtol=0)
    _, state, _ = checkpoints.newest_state(out)
    for name, value in before.state_dict().items():  # not the average alone
        torch.testing.assert_close(state.R.state_dict()[name], value, atol=1e-7, rtol=0)


def test_what_is_not_named_is_the_networks(first, tmp_path):
    assert train(tmp_path / "run", "--pretrained", first, "--lr", "0.002") == 0
    before, config = (load_pretrained(folder).config for folder in (first, tmp_path / "run"))
    changed = {"pretrained": str(first), "lr": 0.002, "seed": 0}
    assert before.rounded == 0.5
    assert config == dataclasses.replace(before, **changed)


def test_a_network_goes_on_on_ones_own_images_and_its_degradation_may_be_another(first, tmp_path):
    photos = pictures(tmp_path / "photos", 24)
    assert train(tmp_path / "grey", "--pretrained", first, "--options", "std=3.0", "--no-precondition") == 2
    assert train(tmp_path / "std", "--pretrained", first, "--options", "std=3.0") == 0
    assert load_pretrained(tmp_path / "std").config.options == {"T": 2, "std": 3.0}
    colour = tmp_path / "colour"
    assert train(colour, *TINY, "--dataset", photos) == 0
    assert train(tmp_path / "own", "--pretrained", colour, "--dataset", pictures(tmp_path / "others", 30, 24)) == 0
    assert load_pretrained(tmp_path / "own").config.dataset == str(tmp_path / "others")


def test_what_does_not_fit_is_refused_in_one_sentence(first, tmp_path, capsys):
    out, photos = tmp_path / "run", pictures(tmp_path / "photos", 24)
    line = refusal(capsys, out, "--pretrained", "digits-blur", "--width", "64", "--patch", "2")
    assert "digits-blur is built otherwise (width: 32, not 64, patch: 4, not 2)" in line
    line = refusal(capsys, out, "--pretrained", "digits-blur", "--dataset", photos)
    assert "colour" in line
    assert "begin with another network than digits-blur" in line
    line = refusal(capsys, out, "--pretrained", "digits-blur", "--degradation", "noise")
    assert "digits-blur undoes blur, and to undo noise takes other inputs" in line
    line = refusal(capsys, out, "--pretrained", "cifar10-blur", "--dataset", photos, "--classes", "2")
    assert "cifar10-blur is built otherwise (classes: 0, not 2)" in line
    assert "unknown checkpoint" in refusal(capsys, out, "--pretrained", "digits-blurr")
    assert "would be written over the input" in refusal(capsys, first, "--pretrained", first)


def test_such_a_run_goes_on_without_the_network(first, tmp_path):
    short, whole = ["--pretrained", first, "--steps", "2"], ["--pretrained", first]
    assert train(tmp_path / "whole", *whole) == 0
    assert train(tmp_path / "parts", *whole) == 0
    for path in (tmp_path / "parts").glob("*0004.pt"):
        path.unlink()
    first.rename(tmp_path / "gone")
    assert main(["train", "--resume", "--device", "cpu", "--out", str(tmp_path / "parts")]) == 0
    states = [checkpoints.newest_state(tmp_path / name)[1] for name in ("whole", "parts")]
    equal_states(*states)
    assert main(["train", *SHORT, *map(str, short), "--out", str(tmp_path / "late")]) == 2  # nobody has it any more


def test_an_experiment_that_goes_on_trains_the_first_and_tells_of_all(tmp_path, monkeypatch):
    recipe = dict(width=8, mults=(1,), batch=8)
    known = {
        "one": experiments.Experiment("digits-blur", 6, recipe),
        "two": experiments.Experiment("digits-blur", 3, recipe | dict(pretrained="one", lr=1e-3)),
        "three": experiments.Experiment("digits-blur", 2, recipe | dict(pretrained="two", lr=1e-4)),
    }
    monkeypatch.setattr(experiments, "EXPERIMENTS", known)
    monkeypatch.setattr(reproduce, "RESAMPLES", 20)
    path = reproduce.reproduce("two", out=tmp_path / "runs" / "two", folder=tmp_path / "results", device="cpu")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    began = manifest["began_with"]
    assert (began["name"], began["images_seen"], manifest["images_seen"]) == ("one", 6 * 8, 9 * 8)
    log = (tmp_path / "runs/one/log.jsonl").read_text(encoding="utf-8").splitlines()
    assert began["seconds"] == json.loads(log[-1])["seconds"] < manifest["seconds"]
    assert manifest["config"]["pretrained"] == "one"
    assert experiments.trained("two", device="cpu", out=tmp_path / "runs/two") == tmp_path / "runs/two"  # not again
    path = reproduce.reproduce("three", out=tmp_path / "runs/three", folder=tmp_path / "results", device="cpu")
    third = json.loads(path.read_text(encoding="utf-8"))
    two = third["began_with"]
    assert (two["name"], two["images_seen"], third["images_seen"]) == ("two", 9 * 8, 11 * 8)
    assert two["seconds"] == manifest["seconds"] < third["seconds"]
    assert two["began_with"] == began


def test_every_experiment_that_goes_on_names_another():
    for name, what in experiments.EXPERIMENTS.items():
        if first := what.recipe.get("pretrained"):
            assert first != name
            one, other = (experiments.experiment(n).config() for n in (first, name))
            assert [getattr(one, k) for k in starts.BUILT] == [getattr(other, k) for k in starts.BUILT]
            assert experiments.EXPERIMENTS[first].brief
