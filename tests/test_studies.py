"""The studies of generation: every attempt is made, judged and drawn; runs are shared with `reproduce`."""

import dataclasses
import json

import pytest
import torch

from coldlab import ColdlabError, data, generation, sampling
from coldlab.__main__ import main
from coldlab.lab import experiments, reproduce, studies

TINY = dict(width=8, mults=(1,), patch=4, batch=8)
pytestmark = pytest.mark.filterwarnings("always::UserWarning")  # six images are few for a distance


@pytest.fixture
def tiny(monkeypatch):
    """A study of two networks of four steps on the digits, six images an attempt."""
    load = data.load
    monkeypatch.setattr(data, "load", lambda *a, **k: tuple(part[:300] for part in load(*a, **k)))
    monkeypatch.setattr(studies, "COPIES", 10)
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"one": experiments.Experiment("digits-blur", 4, TINY)})
    monkeypatch.setattr(experiments, "GENERATORS", {"two": experiments.Experiment("digits-blur", 5, TINY)})

    def plan(T):
        yield "mean", dict(network="other", keep=1, components=1)
        yield "noisy", dict(keep=1, components=1, sigma=0.5)
        yield "many", dict(components=2, count="many", temperature=0.5, severities=sampling.evenly(T, 2))

    study = studies.Study({"cold": "one", "other": "two"}, plan, 6, 12, {"first": "mean", "second": "many"}, (1, 2))
    monkeypatch.setattr(studies, "STUDIES", {"study": study})
    monkeypatch.setattr(reproduce, "STUDIES", studies.STUDIES)
    return study


def test_a_study_trains_its_networks_and_writes_what_came_of_each_attempt(tiny, tmp_path):
    path = reproduce.reproduce("study", "full", "cpu", tmp_path / "runs", tmp_path / "results")
    manifest = json.loads(path.read_text())
    assert path == tmp_path / "results/study.json"
    assert path.with_suffix(".png").exists()
    assert manifest["command"] == "python -m coldlab reproduce study"
    assert {role: net["steps"] for role, net in manifest["networks"].items()} == {"cold": 4, "other": 5}
    assert list(manifest["real"]) == ["test images", "restored directly", "restored by Algorithm 2"]
    assert [a["attempt"] for a in manifest["attempts"]] == ["mean", "noisy", "many"]
    assert [a["count"] for a in manifest["attempts"]] == [6, 6, 12]
    assert [a["numbers_per_channel"] for a in manifest["attempts"]][:2] == [1, 1]
    assert "nearest_median" in manifest["attempts"][2]
    assert "nearest_median" not in manifest["attempts"][0]
    assert set(manifest["bic"]) == {"1", "2"}
    R = reproduce.checkpoints.load_weights(tmp_path / "runs/one/model.safetensors")
    images, _ = data.load("digits", "train", 32)
    x = generation.generate(R, generation.fit(R.D, images, keep=1, components=1), 6, sigma=0.5)
    spread = (data.to_unit(x) - data.to_unit(x).roll(1, 0)).square().mean((1, 2, 3)).sqrt().mean().item()
    assert manifest["attempts"][1]["spread"] == pytest.approx(spread, rel=1e-4)


def test_runs_that_are_there_are_not_trained_again(tiny, tmp_path, monkeypatch):
    reproduce.reproduce("one", "full", "cpu", tmp_path / "runs/one", tmp_path)
    before = (tmp_path / "runs/one/model.safetensors").stat().st_mtime_ns
    reproduce.reproduce("study", "full", "cpu", tmp_path / "runs", tmp_path)
    assert (tmp_path / "runs/one/model.safetensors").stat().st_mtime_ns == before
    monkeypatch.setattr(experiments, "GENERATORS", {"two": dataclasses.replace(experiments.GENERATORS["two"], steps=9)})
    with pytest.raises(ColdlabError, match="5 steps and two takes 9"):
        reproduce.reproduce("study", "full", "cpu", tmp_path / "runs", tmp_path)


def test_a_budget_holds_for_each_network(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "fitting", lambda config, seconds, device: dataclasses.replace(config, steps=3))
    path = reproduce.reproduce("study", "2m", "cpu", tmp_path / "runs", tmp_path)
    assert path.name == "study-2m.json"
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["one-2m", "two-2m"]
    assert json.loads(path.read_text())["networks"]["other"]["steps"] == 3


def test_the_command_line_prints_a_study_as_a_table(tiny, tmp_path, capsys):
    arguments = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path), "--device", "cpu"]
    assert main(["reproduce", "study", *arguments]) == 0
    out = capsys.readouterr().out
    for word in ("attempt", "recognised", "restored directly", "noisy", "study.json"):
        assert word in out
    assert main(["reproduce", "--list"]) == 0
    assert "3 ways to generate, with one, two" in capsys.readouterr().out


@pytest.mark.parametrize("name", studies.STUDIES)
def test_each_study_plans_attempts_that_its_networks_can_make(name):
    study = studies.STUDIES[name]
    D = experiments.presets.preset(experiments.experiment(study.networks["cold"]).preset).build()
    attempts = dict(study.plan(D.T))
    assert len(attempts) == len(list(study.plan(D.T)))  # each has its own name
    assert set(study.shown.values()) <= set(attempts)
    assert {a.get("network", "cold") for a in attempts.values()} == set(study.networks)
    for changes in attempts.values():
        if "severities" in changes and changes.get("network") != "hot":
            assert changes["severities"][0] == (changes.get("t") or D.T)
            assert changes["severities"][-1] == 0


def test_a_classifier_of_other_classes_compares_but_does_not_name(tiny, monkeypatch):
    monkeypatch.setattr(studies.features, "reader", lambda dataset: "cifar10")
    config = dataclasses.replace(experiments.experiment("one").config(), channels=1)
    images, _ = data.load("digits", "train", 32)
    judge = studies.Judge(config, images, tiny, torch.device("cpu"))
    found = judge(data.to_float(judge.test[:20]))
    assert set(found) == {"frechet", "precision", "recall", "spread"}
