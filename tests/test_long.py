"""A long run from a notebook: on Colab's Drive where there is one, told beforehand, gone on with by the same cell."""

import dataclasses
import sys
import types
from pathlib import Path

import pytest
import torch

from coldlab import ColdlabError, checkpoints, training
from coldlab.lab import experiments, long
from coldlab.training import Config

TINY = Config(width=8, mults=(1,), steps=4, batch=4, options=dict(T=2))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder to work in, and no wait for a forecast."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(long, "seconds_a_step", lambda config, device: 30.0)
    return tmp_path


@pytest.fixture
def drive(desk, monkeypatch):
    """Colab's own module, with a Drive that is a folder; `drive.refused` is what its user's refusal raises."""
    made = types.SimpleNamespace(mounted=[], refused=None)

    def mount(where):
        made.mounted.append(where)
        if made.refused:
            raise made.refused
        (desk / "drive" / "MyDrive").mkdir(parents=True, exist_ok=True)

    colab = types.ModuleType("google.colab")
    colab.drive = types.SimpleNamespace(mount=mount)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(long, "DRIVE", desk / "drive")
    return made


def weights(folder):
    return torch.cat([p.flatten() for p in checkpoints.load_pretrained(folder).parameters()])


def test_the_same_cell_begins_and_goes_on(drive, desk, capsys, monkeypatch):
    """On Drive a run that is cut off and gone on with comes to what an uninterrupted one comes to, bit for bit."""
    kept, step = desk / "drive" / "MyDrive" / "coldlab" / "mine", training.train

    def cut_off(*arguments):
        for step_and_loss in step(*arguments):
            if step_and_loss[0] == 3:
                raise KeyboardInterrupt
            yield step_and_loss

    with monkeypatch.context() as patch:
        patch.setattr(long.runs, "train", cut_off)
        with pytest.raises(KeyboardInterrupt):
            long.run(TINY, "mine", "cpu")
    assert [path.name for path in checkpoints.states(kept)] == ["step-0000001.pt", "step-0000002.pt"]
    assert "4 steps of 4 images take about 2 minutes." in capsys.readouterr().out
    assert long.run(TINY, "mine", "cpu") == kept
    told = capsys.readouterr().out
    assert f"Kept in {kept}." in told
    assert "2 steps of 4 images take about a minute or less." in told
    assert drive.mounted == [str(desk / "drive")] * 2

    long.run(TINY, "mine", "cpu")  # finished: nothing is forecast, nothing changes
    assert "steps" not in capsys.readouterr().out
    monkeypatch.delitem(sys.modules, "google.colab")
    assert long.run(TINY, "mine", "cpu") == Path("runs/mine")  # anywhere else
    assert torch.equal(weights(kept), weights("runs/mine"))


def test_a_run_of_other_settings_is_refused_and_a_longer_one_goes_on(desk):
    out = long.run(TINY, "mine", "cpu")
    with pytest.raises(ColdlabError, match=r"lr: was .*, now 0\.5"):
        long.run(dataclasses.replace(TINY, lr=0.5), "mine", "cpu")
    long.run(dataclasses.replace(TINY, steps=6), "mine", "cpu")
    assert checkpoints.newest_state(out)[1].step == 6


def test_without_leave_the_run_stays_on_the_machine(drive, capsys):
    drive.refused = ValueError("mount failed")
    assert long.folder("mine") == Path("runs/mine")
    assert "Drive is not there (mount failed): the run ends with this machine." in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "a/b", "..", "."])
def test_a_name_is_a_name(desk, name):
    with pytest.raises(ColdlabError, match="is no name for a run"):
        long.folder(name)


def test_the_hardware_is_told(monkeypatch):
    assert "No GPU is used" in long.hardware(torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    for emulated, kind in ((True, "float32, since it has no bfloat16 of its own"), (False, "bfloat16")):
        there = lambda including_emulation=True, emulated=emulated: including_emulation or not emulated  # noqa: E731
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", there)
        assert long.hardware(torch.device("cuda")) == f"On a GPU, Tesla T4, in {kind}."


@pytest.mark.parametrize(
    ("steps", "taken", "told"),
    [
        (1, 0, "about a minute or less"),
        (4, 0, "about 2 minutes"),
        (100, 20, "about 40 minutes"),
        (1000, 0, "8.3 hours"),
    ],
)
def test_the_forecast_is_of_what_is_left(desk, steps, taken, told):
    config = dataclasses.replace(TINY, steps=steps)
    assert told in long.duration(config, torch.device("cpu"), taken)


def test_a_step_is_timed_on_the_run_s_own_network():
    assert 0 < experiments.seconds_a_step(TINY, torch.device("cpu")) < 5
