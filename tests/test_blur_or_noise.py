"""The comparison of hot and cold: small, whole, resumed, and its arithmetic."""

import json

import pytest
import torch
from scipy import stats

from coldlab.__main__ import main
from coldlab.degradations import Blur, Noise, Pixelate
from coldlab.lab import blur_or_noise, matched, reproduce

TINY = blur_or_noise.Plan("digits", 8, 8, 3, 4, 5e-3, 2, 3, 12, 60, 2, 3)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*dominated by its bias:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*numbers survive:UserWarning"),  # three blurs are few
]


@pytest.fixture
def short(monkeypatch):
    """Three ways of three severities, two ways to draw."""
    ways = {
        "noise": (Noise(32, T=3), matched.FILE),
        "pixelate": (Pixelate(32, T=2), matched.FILE),
        "blur, float32": (Blur(32, T=3), matched.FLOAT),
    }
    monkeypatch.setattr(blur_or_noise, "arms", lambda: ways)
    monkeypatch.setattr(blur_or_noise, "DRAWS", {"two": (2, 1.0), "one, cool": (1, 0.8)})
    monkeypatch.setattr(blur_or_noise, "BITS", (8, 16))
    return ways


def test_all_of_it_is_done_once_and_written(short, tmp_path, monkeypatch):
    path = blur_or_noise.compare(tmp_path / "runs", tmp_path / "out/blur-or-noise.json", "reproduce it", TINY)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["command"] == "reproduce it"
    assert report["plan"]["steps"] == 3
    assert list(report["arms"]) == list(short)
    for name, arm in report["arms"].items():
        T = short[name][0].T
        assert len(arm["expected"]) == T + 1
        assert list(arm["restored"]) == [str(t) for t in range(1, T + 1)]
        assert set(arm["trials"]) == set(blur_or_noise.RECIPES)
        assert arm["recipe"] == min(arm["trials"], key=lambda recipe: arm["trials"][recipe]["restoration"])
        assert [run["images_seen"] for run in arm["training"]] == [24] * 3
        network = arm["restored"]["1"]["network"]["rmse"]
        assert len(set(network["values"])) == 3  # three seeds, three networks
        assert network["interval"][0] < network["mean"] < network["interval"][1]
        assert len(set(arm["restored"]["1"]["linear"]["rmse"]["values"])) == 1  # which know nothing of seeds
        assert len(arm["levels"]) == len(report["levels"]) == 1
        assert ("generation" in arm) == (name in blur_or_noise.SIDES)
    hot, cold = (report["arms"][name]["generation"] for name in blur_or_noise.SIDES)
    assert "fixed z" in hot
    assert "8-bit start" in cold
    for made in (hot, cold):
        assert made["chosen"] == min(made["draws"], key=made["draws"].get)
        assert made["real"]["recognised"] > 0.9
    assert report["longer"]["noise"]["images_seen"] == 32
    assert list(report["longer"]["noise"]["restored"]) == [str(t) for t in report["arms"]["noise"]["matched"]]
    assert set(report["bits"]) == {"noise", "pixelate"}
    assert report["bits"]["noise"][0] == pytest.approx(report["bits"]["noise"][1], rel=1e-3)
    assert path.with_suffix(".webp").exists()
    assert path.with_name("blur-or-noise-new.webp").exists()
    assert sum(1 for _ in blur_or_noise.lines(report)) == 1 + 3 + 2
    assert list(reproduce.lines(report)) == list(blur_or_noise.lines(report))

    (tmp_path / "runs/noise.json").unlink()  # judged again, by the networks that are there
    monkeypatch.setattr(blur_or_noise, "learn", None)
    again = json.loads(
        blur_or_noise.compare(tmp_path / "runs", tmp_path / "out/again.json", "x", TINY).read_text(encoding="utf-8")
    )
    assert again["arms"] == report["arms"]


def test_between_two_severities_the_errors_are_drawn_as_a_line():
    def row(linear, network):
        return {"linear": {"rmse": {"values": [linear] * 3, "mean": linear}}, "network": {"rmse": {"values": network}}}

    found = {"restored": {"1": row(0.1, [0.1, 0.1, 0.1]), "2": row(0.2, [0.12, 0.14, 0.16])}}
    at = blur_or_noise.levelled(found, 0.15)
    assert at["linear"]["rmse"]["mean"] == pytest.approx(0.15)
    assert at["network"]["rmse"]["values"] == pytest.approx([0.11, 0.12, 0.13])
    assert blur_or_noise.levelled(found, 0.5)["network"]["rmse"]["values"] == pytest.approx([0.12, 0.14, 0.16])
    assert blur_or_noise.levelled(found, 0.01)["network"]["rmse"]["mean"] == pytest.approx(0.1)


def test_the_interval_of_three_seeds_is_student_s():
    values = [0.1, 0.14, 0.15]
    low, high = stats.t.interval(0.95, 2, loc=torch.tensor(values).mean().item(), scale=stats.sem(values))
    assert blur_or_noise.spread(values)["interval"] == pytest.approx([low, high], rel=1e-3)
    assert blur_or_noise.spread([0.2] * 3)["interval"] == pytest.approx([0.2, 0.2])
    assert blur_or_noise.spread([0.2, 0.3])["interval"] is None


def test_four_ways_go_through_files_and_blur_once_more_as_it_is():
    ways = blur_or_noise.arms()
    assert [how for _, how in ways.values()] == [matched.FILE] * 4 + [matched.FLOAT]
    assert repr(ways["blur"][0]) == repr(ways["blur, float32"][0]) == repr(Blur(32))


def test_the_command_line_knows_it(capsys):
    main(["reproduce", "--list"])
    assert "blur-or-noise" in capsys.readouterr().out
    assert main(["reproduce", "blur-or-noise", "--sampler", "naive"]) != 0
    assert "not judged by samplers" in capsys.readouterr().err
    for name in ("blur-or-noise", "walks", "inverse"):
        assert main(["reproduce", name, "--budget", "2m"]) == 2
        assert f"{name} has no networks that could train for 2m; leave --budget out." in capsys.readouterr().err
