"""The studies of generation: every attempt is made, judged and drawn; runs are shared with `reproduce`."""

import dataclasses
import json

import pytest
import torch

import coldlab
from coldlab import ColdlabError, data, generation, sampling
from coldlab.__main__ import main
from coldlab.degradations import Mask
from coldlab.lab import experiments, reproduce, studies

TINY = dict(width=8, mults=(1,), patch=4, batch=8)
pytestmark = pytest.mark.filterwarnings("ignore:.*dominated by its bias:UserWarning")  # a dozen images are few


@pytest.fixture
def tiny(monkeypatch):
    """A study of two networks of four and five steps on the digits, twelve images an attempt."""
    load = data.load
    monkeypatch.setattr(data, "load", lambda *a, **k: tuple(part[:300] for part in load(*a, **k)))
    monkeypatch.setattr(studies, "RESAMPLES", 10)
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"one": experiments.Experiment("digits-blur", 4, TINY)})
    monkeypatch.setattr(experiments, "GENERATORS", {"two": experiments.Experiment("digits-blur", 5, TINY)})

    def plan(T):
        yield "mean", dict(network="other", keep=1, components=1)
        yield "noisy", dict(keep=1, components=1, sigma=0.5, count=8)
        yield "thrice", dict(components=2, seeds=3, temperature=0.5, severities=sampling.evenly(T, 2))

    shown = {"first": "mean", "second": "thrice"}
    study = studies.Study({"cold": "one", "other": "two"}, plan, 12, shown, "thrice", (1, 2))
    monkeypatch.setattr(studies, "STUDIES", {"study": study})
    monkeypatch.setattr(reproduce, "STUDIES", studies.STUDIES)
    return study


def test_a_study_trains_its_networks_and_writes_what_came_of_each_attempt(tiny, tmp_path):
    path = reproduce.reproduce("study", "full", "cpu", tmp_path / "runs", tmp_path / "results")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "results/study.json"
    assert path.with_suffix(".webp").exists()
    assert manifest["command"] == "python -m coldlab reproduce study"
    assert {role: net["steps"] for role, net in manifest["networks"].items()} == {"cold": 4, "other": 5}
    assert list(manifest["real"]) == ["training images", "restored directly", "restored by Algorithm 2"]
    attempts = {a["attempt"]: a for a in manifest["attempts"]}
    assert [(name, a["count"], a["seeds_drawn"]) for name, a in attempts.items()] == [
        ("mean", 12, 1),
        ("noisy", 8, 1),
        ("thrice", 12, 3),
    ]
    assert [a["numbers_per_channel"] for a in manifest["attempts"]][:2] == [1, 1]
    assert set(manifest["likelihood"]) == {"1", "2"}
    assert manifest["images_of_each"] == 12
    assert len(attempts["thrice"]["seeds"]) == 3
    assert attempts["thrice"]["seeds"][0]["frechet"] == attempts["thrice"]["frechet"]
    assert len({one["frechet"] for one in attempts["thrice"]["seeds"]}) == 3
    assert "seeds" not in attempts["mean"]
    for found in (*manifest["real"].values(), *attempts.values()):
        assert set(found["intervals"]) == {"recognised", "frechet", "precision", "recall"}
        for key, (low, high) in found["intervals"].items():
            assert low - 1e-9 <= found[key] <= high + 1e-9
        assert set(found["copies"]) == {"pixels", "features"}
    assert manifest["real"]["training images"]["copies"]["pixels"] == 1  # a generator that only copies
    assert manifest["copies"]["taken_for_copies"]["copies moved by a pixel"]["pixels"] == 1
    assert path.with_name("study-nearest.webp").exists()
    R = reproduce.checkpoints.load_weights(tmp_path / "runs/one/model.safetensors")
    images, _ = data.load("digits", "train", 32)
    x = generation.generate(R, generation.fit(R.D, images, keep=1, components=1), 8, sigma=0.5)
    spread = (data.to_unit(x) - data.to_unit(x).roll(1, 0)).square().mean((1, 2, 3)).sqrt().mean().item()
    assert attempts["noisy"]["spread"] == pytest.approx(spread, rel=1e-4)


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
    assert json.loads(path.read_text(encoding="utf-8"))["networks"]["other"]["steps"] == 3


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
        if "severities" in changes and not changes.get("network", "").startswith("hot"):
            assert changes["severities"][0] == (changes.get("t") or D.T)
            assert changes["severities"][-1] == 0


@pytest.mark.parametrize("name", studies.STUDIES)
def test_each_attempt_is_judged_by_as_many_images(name):
    study = studies.STUDIES[name]
    T = experiments.presets.preset(experiments.experiment(study.networks["cold"]).preset).build().T
    assert not [attempt for attempt, changes in study.plan(T) if "count" in changes]
    assert study.paired in dict(study.plan(T))


@pytest.fixture
def judge(tiny):
    config = dataclasses.replace(experiments.experiment("one").config(), channels=1)
    return studies.Judge(config, data.load("digits", "train", 32)[0], tiny, torch.device("cpu"))


def test_a_classifier_of_other_classes_compares_but_does_not_name(tiny, monkeypatch):
    monkeypatch.setattr(studies.metrics, "classifier_for", lambda dataset: "cifar10")
    config = dataclasses.replace(experiments.experiment("one").config(), channels=1)
    images, _ = data.load("digits", "train", 32)
    found, intervals = studies.Judge(config, images, tiny, torch.device("cpu")).judged(data.to_float(images[:20]))
    assert set(found) == {"frechet", "precision", "recall", "spread"}
    assert set(intervals) == {"frechet", "precision", "recall"}


def test_the_reference_row_is_of_training_images_and_as_many_as_the_others(judge):
    R = coldlab.load_pretrained("digits-blur")
    known, unseen = judge.real(R)
    assert {row: len(x) for row, x in known.items()} == dict.fromkeys(known, 12)
    assert all((judge.images == data.to_uint8(x)).flatten(1).all(1).any() for x in known["training images"][:, None])
    assert torch.cat(unseen).flatten(1).unique(dim=0).shape[0] == sum(len(x) for x in unseen) == 24  # each image once


def test_z_is_drawn_where_the_network_s_degradation_needs_it(tiny, judge, monkeypatch):
    asked = []
    latents = studies.evaluation.latents
    monkeypatch.setattr(studies.evaluation, "latents", lambda D, *a, **k: asked.append(D) or latents(D, *a, **k))
    D = Mask(32, 20)

    class R(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.D = torch.nn.Parameter(torch.zeros(1)), D

        def forward(self, x, t):
            return x

    known, _ = judge.real(R())
    assert asked == [D]
    assert known["restored directly"].shape == (12, 1, 32, 32)


def test_the_interval_of_a_share_is_wilson_s():
    low, high = studies.binomial(0.96, 2000)
    assert (round(low, 4), round(high, 4)) == (0.9505, 0.9677)
    assert studies.binomial(0.0, 50)[0] == 0 < studies.binomial(0.0, 50)[1] < 0.08
    assert studies.binomial(1.0, 50)[1] == 1
