"""Several processes are one: the same gradients, the same weights on every rank, one writer, one end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import coldlab
from coldlab import ColdlabError, load_pretrained
from coldlab.__main__ import main
from coldlab.lab.distributed import Group
from coldlab.lab.machine import pick_device

ROOT = Path(coldlab.__file__).parents[1]
TINY = ["--steps", "6", "--save-every", "2", "--batch", "8", "--options", "T=3", "--device", "cpu", "--mults", "1"]
TINY += ["--width", "8", "--attention", "--patch", "4"]

PROBE = """
import sys, torch
from coldlab.lab import distributed
from coldlab.data import to_float
from coldlab.training import Config, loss_of, start, train

torch.set_num_threads(1)
config = Config(size=16, channels=1, width=8, mults=(1,), attention=(), patch=4, steps=5, batch=64, options=dict(T=3))
images = torch.randint(0, 256, (96, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
with distributed.group("cpu") as group:
    D, state = start(config)
    state.parallel = group.wrap(state.R)
    mine = to_float(images[:64]).chunk(group.ranks)[group.rank]
    # The loss draws its own t; so that two halves are one whole, each process takes its half of the same draw.
    t = torch.arange(64).remainder(3).add(1).chunk(group.ranks)[group.rank]
    (state.parallel or state.R)(D(mine, t), t).sub(mine).abs().mean().backward()
    gradients = [p.grad.clone() for p in state.R.parameters()]
    state.optimizer.zero_grad(set_to_none=True)
    chosen = [loss.item() for _, loss in train(state, D, images, config, group.rank, group.ranks)]
    weights = [p.detach() for p in state.R.parameters()] + list(state.ema.parameters())
    torch.save((gradients, weights, chosen), f"{sys.argv[1]}-{group.rank}-of-{group.ranks}.pt")
"""


def torchrun(ranks, *arguments, **options):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, **options, errors="replace"
    )


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """{(rank, ranks): (gradients, weights, losses)} of one process, and of two."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.py").write_text(PROBE, encoding="utf-8")
    alone = subprocess.run(
        [sys.executable, folder / "probe.py", folder / "run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert alone.returncode == 0, alone.stderr
    two = torchrun(2, str(folder / "probe.py"), str(folder / "run"))
    errors = two.communicate(timeout=120)[1]
    assert two.returncode == 0, errors
    return {
        (rank, ranks): torch.load(folder / f"run-{rank}-of-{ranks}.pt", weights_only=True)
        for rank, ranks in ((0, 1), (0, 2), (1, 2))
    }


def test_two_times_32_images_give_the_gradients_of_64(probed):
    whole = probed[0, 1][0]
    for rank in (0, 1):
        for one, two in zip(whole, probed[rank, 2][0], strict=True):
            assert torch.allclose(one, two, rtol=1e-4, atol=1e-7)
    assert max(g.abs().max() for g in whole) > 1e-3  # there was something to compare


def test_every_rank_ends_with_the_same_weights_though_each_saw_other_images(probed):
    (_, first, saw), (_, second, saw_too) = probed[0, 2], probed[1, 2]
    assert all(torch.equal(p, q) for p, q in zip(first, second, strict=True))
    assert all(a != b for a, b in zip(saw, saw_too, strict=True))


def test_torchrun_trains_writes_once_and_resumes(tmp_path):
    out = tmp_path / "run"
    for more in ([], ["--resume"]):
        process = torchrun(2, "-m", "coldlab", "train", *TINY, "--out", str(out), *more, stdout=subprocess.PIPE)
        printed, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert printed.count("Next:") == 1
        if not more:
            before = load_pretrained(out)
            (out / "step-0000006.pt").unlink()
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["machine"]["processes"] == 2
    assert (
        json.loads((out / "config.json").read_text(encoding="utf-8"))["config"]["batch"] == 8
    )  # the whole batch, not one's share
    again = load_pretrained(out)
    assert all(torch.equal(p, q) for p, q in zip(before.parameters(), again.parameters(), strict=True))


def test_one_signal_ends_all_processes_at_the_same_step(tmp_path):
    out = tmp_path / "run"
    arguments = [*TINY, "--steps", "100000", "--log-every", "2", "--save-every", "1000"]
    process = torchrun(2, "-m", "coldlab", "train", *arguments, "--out", str(out))
    until = time.monotonic() + 90
    while (
        not ((out / "log.jsonl").exists() and (out / "log.jsonl").read_text(encoding="utf-8"))
        and time.monotonic() < until
    ):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert "go on with --resume" in errors
    (state,) = out.glob("step-*.pt")
    assert coldlab.checkpoints.load_state(state)[1].step == int(state.stem[5:])


def test_a_batch_that_cannot_be_shared_is_refused():
    group = Group(torch.device("cpu"), 1, 3)
    assert group.share(9) == 3
    with pytest.raises(ColdlabError, match="--batch 8 cannot be shared by 3"):
        group.share(8)
    assert not group.first
    assert Group(torch.device("cpu")).first


LAUNCHED = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    "wrong",
    [{name: None for name in LAUNCHED if name != "WORLD_SIZE"}, {"RANK": "2"}, {"RANK": "x"}, {"MASTER_ADDR": ""},
     {"WORLD_SIZE": "two"}, {"WORLD_SIZE": "-1"}, {"WORLD_SIZE": "0"}, {"LOCAL_RANK": None}, {"MASTER_PORT": "1.5"}],
    ids=str,
)  # fmt: skip
def test_what_other_launchers_leave_in_the_environment_is_one_sentence(wrong, monkeypatch, tmp_path, capsys):
    for name, value in (LAUNCHED | wrong).items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert main(["train", *TINY, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "WORLD_SIZE=" in line
    assert "torchrun" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("size", ["", "1"])
def test_a_world_of_one_trains_alone_and_reports(size, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("RANK", "7")
    assert main(["train", *TINY, "--steps", "1", "--out", str(tmp_path / "a run")]) == 0
    assert f"--pretrained '{tmp_path / 'a run'}'" in capsys.readouterr().out  # to be pasted as it is


def test_apples_gpus_are_taken_only_where_asked_for(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device() == torch.device("cuda")
