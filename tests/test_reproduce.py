"""`reproduce`: a run, its judgement and its manifest; interrupted, short, finished, foreign."""

import dataclasses
import json
import os
import signal

import pytest
import torch

from coldlab import ColdlabError, checkpoints, data, evaluation, metrics, presets
from coldlab.__main__ import main
from coldlab.lab import experiments, reproduce, results, runs

TINY = dict(width=8, mults=(1,), patch=4, batch=8)
pytestmark = pytest.mark.filterwarnings("always::UserWarning")


@pytest.fixture
def tiny(monkeypatch):
    """One experiment of six steps on the digits, in place of all others."""
    experiment = experiments.Experiment("digits-blur", 6, TINY, keep=(2, 4))
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"tiny": experiment})
    monkeypatch.setattr(reproduce, "RESAMPLES", 20)
    load = data.load
    monkeypatch.setattr(data, "load", lambda *a, **k: tuple(part[:64] for part in load(*a, **k)))
    return experiment


@pytest.mark.parametrize("name", ["tiny", *reproduce.MEASUREMENTS, *reproduce.STUDIES])
def test_the_folder_of_results_is_made_before_anything_is_measured(name, tiny, tmp_path, monkeypatch):
    class Begun(Exception):
        pass

    def begin(*_):
        assert (tmp_path / "new/results").is_dir()
        raise Begun

    known = {n: dataclasses.replace(m, measure=begin) for n, m in reproduce.MEASUREMENTS.items()}
    monkeypatch.setattr(reproduce, "MEASUREMENTS", known)
    monkeypatch.setattr(reproduce, "trained", begin)
    (tmp_path / "file").touch()
    with pytest.raises(ColdlabError, match=r"file cannot be written .*; choose another --results\.$"):
        reproduce.reproduce(name, folder=tmp_path / "file")
    with pytest.raises(Begun):
        reproduce.reproduce(name, folder=tmp_path / "new/results")


def test_a_result_holds_the_run_and_what_the_published_weights_do(tiny, tmp_path):
    path = reproduce.reproduce("tiny", out=tmp_path / "run", folder=tmp_path / "results", device="cpu")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "results/tiny.json"
    assert manifest["command"] == "python -m coldlab reproduce tiny"
    assert manifest["images_seen"] == 6 * 8
    assert manifest["config"]["seed"] == 0
    assert manifest["machine"]["commit"]
    assert manifest["machine"]["torch"] == torch.__version__
    assert manifest["evaluation"]["seconds"] > 0
    assert manifest["curve"][-1][0] == 6
    R = checkpoints.load_pretrained(str(tmp_path / "run/tiny.safetensors"))
    assert manifest["parameters"] == sum(p.numel() for p in R.parameters())
    images, labels = data.load("digits", "test")
    assert manifest["test_images"] == len(images)
    rows = evaluation.restored(R, R.D, images)
    for row, values in evaluation.table(rows)[0].items():
        for measure, value in values.items():
            assert manifest["metrics"][row][measure] == pytest.approx(value, rel=1e-5)
            low, high = manifest["intervals"][row][measure]
            assert low <= manifest["metrics"][row][measure] <= high
    assert list(manifest["calls"]) == ["2", "3", "5", "10"]
    few = evaluation.restored(R, R.D, images, severities=[20, 10, 0])["Algorithm 2"]
    expected = metrics.rmse(few, rows["original"]).item()
    assert manifest["calls"]["2"]["Algorithm 2"]["rmse"] == pytest.approx(expected, rel=1e-5)
    low, high = manifest["differences"]["direct"]["Algorithm 2"]["rmse"]
    values = manifest["metrics"]
    assert low <= values["direct"]["rmse"] - values["Algorithm 2"]["rmse"] <= high
    assert list(manifest["differences"]) == [row for row in rows if row not in ("original", "averaged")]
    for name, tell in (("told", True), ("not told", False)):
        files = evaluation.restored(R, R.D, images, rounded=True, samplers={}, tell=tell)
        expected = metrics.rmse(files["direct"], rows["original"]).item()
        assert manifest["eight_bits"][name]["direct"]["rmse"] == pytest.approx(expected, rel=1e-5)
    right = metrics.predict(metrics.classifier("digits"), rows["original"]).argmax(1) == labels
    assert manifest["read_as_their_class"]["original"]["share"] == pytest.approx(right.double().mean().item())
    assert len(manifest["read_as_their_class"]["direct"]["by_class"]) == 10
    drawn = {"tiny.webp", "tiny-progress.webp", "tiny-steps.webp"}
    assert {p.name for p in (tmp_path / "results").iterdir()} == {"tiny.json"} | drawn


def test_shipped_weights_are_judged_again_without_their_run(monkeypatch, tmp_path, capsys):
    """What is known of the training is kept, the judgement is that of the code of today."""
    monkeypatch.setattr(reproduce, "RESAMPLES", 20)
    load = data.load
    monkeypatch.setattr(data, "load", lambda *a, **k: tuple(part[:64] for part in load(*a, **k)))
    old = results.load("digits-blur")
    told = old | {"seconds": 12.5, "curve": [[1, 1.0, 0.5]], "metrics": {}, "intervals": {}}
    (tmp_path / "digits-blur.json").write_text(json.dumps(told), encoding="utf-8")
    arguments = ["--judge", "--results", str(tmp_path), "--device", "cpu"]
    assert main(["reproduce", "digits-blur", *arguments]) == 0
    assert "Algorithm 2" in capsys.readouterr().out
    new = json.loads((tmp_path / "digits-blur.json").read_text(encoding="utf-8"))
    assert (new["seconds"], new["curve"]) == (12.5, [[1, 1.0, 0.5]])
    for key in ("machine", "images_seen", "final_training_loss", "training_images", "command", "name"):
        assert new[key] == old[key], key
    R = checkpoints.load_pretrained("digits-blur")
    assert new["config"] == json.loads(json.dumps(dataclasses.asdict(R.config)))
    rows = evaluation.restored(R, R.D, data.load("digits", "test")[0])
    assert new["metrics"]["direct"]["rmse"] == pytest.approx(evaluation.table(rows)[0]["direct"]["rmse"], rel=1e-5)
    assert {p.name for p in tmp_path.iterdir()} == {"digits-blur.json", "digits-blur.webp", "digits-blur-steps.webp"}
    assert main(["reproduce", "mnist-blur-1000", *arguments]) == 2  # measured, but it does not ship
    assert "shipped network" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--budget", "1m"], ["--budget", "1e308m"], ["--out", "runs/mine"]])
def test_a_judgement_that_trains_nothing_takes_no_settings_of_a_training(option, tmp_path, capsys):
    results = tmp_path / "results"
    assert main(["reproduce", "digits-blur", "--judge", *option, "--results", str(results)]) == 2
    assert "--judge judges the weights that ship and trains nothing" in capsys.readouterr().err
    assert not results.exists()


def test_an_interrupted_result_goes_on_and_a_finished_one_is_only_judged(tiny, tmp_path, monkeypatch):
    whole = reproduce.reproduce("tiny", out=tmp_path / "whole", folder=tmp_path / "a", device="cpu")
    train = runs.train

    def stopping(*arguments):
        for step, loss in train(*arguments):
            if step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            yield step, loss

    monkeypatch.setattr(runs, "train", stopping)
    with pytest.raises(runs.Stopped):
        reproduce.reproduce("tiny", out=tmp_path / "run", folder=tmp_path / "b", device="cpu")
    assert not list((tmp_path / "b").iterdir())
    monkeypatch.setattr(runs, "train", train)
    path = reproduce.reproduce("tiny", out=tmp_path / "run", folder=tmp_path / "b", device="cpu")
    one, two = json.loads(whole.read_text(encoding="utf-8")), json.loads(path.read_text(encoding="utf-8"))
    assert one["metrics"] == two["metrics"]
    assert one["intervals"] == two["intervals"]
    monkeypatch.setattr(runs, "run", None)  # no more training
    path.unlink()
    assert json.loads(
        reproduce.reproduce("tiny", "full", "cpu", tmp_path / "run", tmp_path / "b").read_text(encoding="utf-8")
    )


def test_a_run_of_other_settings_is_left_alone(tiny, tmp_path, monkeypatch):
    reproduce.reproduce("tiny", out=tmp_path / "run", folder=tmp_path / "a", device="cpu")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    longer = dataclasses.replace(tiny, steps=9)
    other = dataclasses.replace(tiny, recipe=TINY | dict(seed=5))
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"longer": longer, "other": other})
    for name, why in (("longer", "6 steps and longer takes 9"), ("other", "other settings than other")):
        with pytest.raises(ColdlabError, match=why):
            reproduce.reproduce(name, out=tmp_path / "run", folder=tmp_path / "a", device="cpu")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}


def test_a_budget_makes_a_shorter_run_under_its_own_name(tiny, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        experiments, "fitting", lambda c, seconds, device: asked.append(seconds) or dataclasses.replace(c, steps=4)
    )
    path = reproduce.reproduce("tiny", "2m", "cpu", tmp_path / "run", tmp_path / "results")
    assert asked == [120]
    assert path.name == "tiny-2m.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert manifest["command"] == "python -m coldlab reproduce tiny --budget 2m"
    assert manifest["config"]["steps"] == 4
    assert reproduce.reproduce("tiny", "2m", "cpu", tmp_path / "run", tmp_path / "results") == path  # finished already


def test_more_time_makes_more_steps(tiny):
    steps = [experiments.fitting(tiny.config(), seconds, "cpu").steps for seconds in (0.001, 1000)]
    assert steps[0] == 25 < steps[1]


@pytest.mark.parametrize("budget", ["2", "m", "0m", "-3m", "2h", "1.5m", ""])
def test_a_budget_is_full_or_minutes(budget):
    with pytest.raises(ColdlabError, match="full, or minutes such as 2m"):
        reproduce.reproduce("mnist-blur", budget)


def test_the_inverse_alone_is_measured_too(tiny, tmp_path, capsys):
    assert main(["reproduce", "inverse", "--results", str(tmp_path)]) == 0
    assert "float32" in capsys.readouterr().out
    assert (tmp_path / "inverse.webp").exists()
    found = json.loads((tmp_path / "inverse.json").read_text(encoding="utf-8"))["experiments"]
    assert list(found) == ["digits-blur"]
    D, x0 = presets.preset("digits-blur").build(), data.to_float(data.load("digits", "test", 32)[0])
    for row, x, eps in (("float32", D(x0, 20), 2e-6), ("8 bits", (D(x0, 20) * 127.5).round() / 127.5, 4e-3)):
        error = metrics.rmse(data.to_unit(D.inverse(x, 20, eps)), data.to_unit(x0)).item()
        assert found["digits-blur"]["metrics"][row]["rmse"] == pytest.approx(error, rel=2e-2)
        low, high = found["digits-blur"]["intervals"][row]["rmse"]
        assert low < error < high


def test_the_command_line_lists_them_and_says_what_is_missing(capsys):
    assert main(["reproduce", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name} " in out for name in (*experiments.EXPERIMENTS, *reproduce.STUDIES, "inverse"))
    assert main(["reproduce"]) == 2
    assert "--list prints them all" in capsys.readouterr().err
    assert main(["reproduce", "mnist-blurr"]) == 2
    assert "mnist-blur" in capsys.readouterr().err


def test_the_shipped_digits_network_still_does_what_its_manifest_says(capsys):
    assert main(["evaluate", "--pretrained", "digits-blur", "--resamples", "0", "--json", "--device", "cpu"]) == 0
    found, told = json.loads(capsys.readouterr().out)["metrics"], results.load("digits-blur")["metrics"]
    for row, values in told.items():
        for measure in ("rmse", "ssim"):
            assert found[row][measure] == pytest.approx(values[measure], abs=2e-3), (row, measure)


def test_the_command_line_prints_the_table(tiny, tmp_path, capsys):
    assert (
        main(["reproduce", "tiny", "--out", str(tmp_path / "run"), "--results", str(tmp_path), "--device", "cpu"]) == 0
    )
    out = capsys.readouterr().out
    assert "last prediction" in out
    assert "tiny.json" in out


@pytest.mark.parametrize("name", [*experiments.EXPERIMENTS, *experiments.GENERATORS])
def test_each_experiment_has_the_settings_of_its_preset(name):
    config = experiments.experiment(name).config()
    preset = presets.preset(experiments.experiment(name).preset)
    assert config.options == preset.options
    assert (config.size, config.zoom, config.dataset) == (preset.size, preset.zoom, preset.dataset)
    assert presets.resolve(config) == config


RUN = [name for name in experiments.EXPERIMENTS if name in results.names() and "intervals" in results.load(name)]


@pytest.mark.parametrize("name", RUN)
def test_a_manifest_says_what_its_experiment_is_now(name):
    told = dataclasses.replace(checkpoints.config_from(results.load(name)["config"], name), channels=None)
    told = dataclasses.replace(told, zoom=None if told.zoom == 1 else told.zoom)  # two words for plain resizing
    assert dataclasses.astuple(experiments.experiment(name).config()) == dataclasses.astuple(told)
