"""The benchmark: it times what it says, in turn, and can run the official code beside ours where a user has it."""

import json
import sys
from pathlib import Path

import official
import pytest
import torch
from helpers import images

from coldlab.__main__ import main
from coldlab.degradations import Blur, Mask
from coldlab.errors import ColdlabError
from coldlab.lab import bench

TINY = ["bench", "--size", "16", "--width", "8", "--mults", "1", "--attention", "--patch", "4", "--batch", "4"]
TINY += ["--options", "T=3", "--rounds", "1", "--device", "cpu"]

# A stand-in with the interface of the official code, written here: T convolutions in a row, one image picked at a time.
STAND_IN = """
import comet_ml, torch, torchgeometry
from torch import nn


class Unet(nn.Module):
    def __init__(self, dim, dim_mults, channels):
        super().__init__()
        print("Is Time embed used ? ", True)
        self.net = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, t):
        return self.net(x)


class EMA:
    def __init__(self, beta):
        self.beta = beta

    def update_model_average(self, average, model):
        for a, p in zip(average.parameters(), model.parameters()):
            a.data = self.beta * a.data + (1 - self.beta) * p.data


class GaussianDiffusion(nn.Module):
    def __init__(self, net, *, image_size, device_of_kernel, channels, timesteps, kernel_std, kernel_size,
                 blur_routine, sampling_routine, discrete):
        super().__init__()
        assert (blur_routine, sampling_routine) == ("Constant", "x0_step_down")
        kernel = torchgeometry.image.get_gaussian_kernel2d((kernel_size,) * 2, (kernel_std,) * 2)
        self.kernel, self.half, self.T, self.net = kernel[None, None], kernel_size // 2, timesteps, net

    def chain(self, x, t):
        for _ in range(t):
            x = nn.functional.pad(x, (self.half,) * 4, mode="circular")
            x = nn.functional.conv2d(x, self.kernel)
        return x

    def q_sample(self, x, t):
        return torch.cat([self.chain(image[None], int(k) + 1) for image, k in zip(x, t)])

    def forward(self, x):
        t = torch.randint(0, self.T, (len(x),))
        return (self.net(self.q_sample(x, t), t) - x).abs().mean()

    @torch.no_grad()
    def sample(self, batch_size, img):
        start = img = self.chain(img, self.T)
        for t in range(self.T, 0, -1):
            x = self.net(img, torch.full((batch_size,), t - 1).cuda())
            img = img - self.chain(x, t) + self.chain(x, t - 1)
        return start, x, img
"""


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "deblurring-diffusion-pytorch" / "deblurring_diffusion_pytorch"
    folder.mkdir(parents=True)
    (folder / "deblurring_diffusion_pytorch.py").write_text(STAND_IN, encoding="utf-8")
    return tmp_path


def test_the_table_says_what_was_measured(capsys):
    assert main(TINY) == 0
    printed = capsys.readouterr().out
    for words in (
        "Blur(size=16, T=3",
        "D at t = 1 ",
        "D at t = 3 ",
        "D at t mixed",
        "training step",
        "Algorithm 2 with R",
    ):
        assert words in printed
    assert "images/s" in printed
    assert "GFLOP" in printed
    assert "peak memory" in printed


def test_json_holds_the_machine_and_numbers_that_agree(capsys):
    assert main([*TINY, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["machine"]["torch"] == torch.__version__
    training = report["train"]
    assert training["images_per_second"] == pytest.approx(4 / training["seconds"])
    rate = 4 * training["flops_per_image"] / training["seconds"] / training["matrix_flops_per_second"]
    assert training["share_of_matrix_rate"] == pytest.approx(rate)
    assert 0 < rate < 1.2
    assert (
        report["degrade"]["T_over_1"] == report["degrade"]["t = 3"]["seconds"] / report["degrade"]["t = 1"]["seconds"]
    )
    assert report["peak_memory_bytes"] > 2**20


def test_only_the_parts_asked_for_are_measured(capsys):
    assert main([*TINY, "--json", "--parts", "degrade", "--degradation", "mask"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "degrade" in report
    assert "train" not in report
    assert "sample" not in report


def test_the_official_code_does_the_same_work_in_turn(clone, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["official.py", str(clone), *TINY[1:], "--json"])
    assert official.run() == 0
    report = json.loads(capsys.readouterr().out)
    assert report["command"].startswith("python tools/official.py CLONE --size 16")
    assert report["weights"] == 56_612_916  # the paper's network for both
    for name in ("t = 1", "t = 3", "t mixed"):
        assert report["degrade"][name]["largest_difference"] < 1e-6
    for part in (*list(report["degrade"].values())[:-1], report["train"], *report["sample"].values()):
        assert part["ratio"] == pytest.approx(part["official_seconds"] / part["seconds"])
    cuda = torch.Tensor.cuda
    with pytest.raises((AssertionError, RuntimeError)):  # what they need for sampling is gone afterwards
        torch.zeros(1).cuda()
    assert torch.Tensor.cuda is cuda


def test_one_official_step_trains_and_averages(clone):
    D, x0 = Blur(16, 3), images(channels=1)
    theirs = official.Official(clone, D, 1, torch.device("cpu"))
    before = [p.clone() for p in theirs.model.net.parameters()]
    theirs.train(x0)
    after = list(theirs.model.net.parameters())
    assert not any(torch.equal(p, q) for p, q in zip(before, after, strict=True))
    for a, p, q in zip(theirs.average.net.parameters(), before, after, strict=True):
        assert torch.allclose(a, 0.995 * p + 0.005 * q)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--parts", "tarin"], "train"),
        (["--dataset", "mnits"], "did you mean 'mnist'"),
        (["--lr", "nan"], "--lr nan; it must be a number above 0"),
        (["--rounds", "0"], "--rounds 0; it must be 1 or more"),
        (["--threads", "0"], "--threads 0; it must be 1 or more"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(capsys, arguments, words):
    assert main([*TINY, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_that_is_no_clone_is_told(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["official.py", "/nowhere", *TINY[1:]])
    assert official.run() == 2
    assert "give a clone of the paper's code" in capsys.readouterr().err


def test_only_the_papers_blurs_can_be_compared(clone):
    for D in (Mask(16), Blur(16, padding="zero")):
        with pytest.raises(ColdlabError, match="paper's blurs only"):
            official.Official(clone, D, 1, torch.device("cpu"))


def test_official_code_that_does_not_import_is_told(clone):
    (
        Path(clone) / "deblurring-diffusion-pytorch/deblurring_diffusion_pytorch/deblurring_diffusion_pytorch.py"
    ).write_text("import no_such_module", encoding="utf-8")
    with pytest.raises(ColdlabError, match="no_such_module"):
        official.Official(clone, Blur(16), 1, torch.device("cpu"))


def test_functions_are_timed_in_turn_after_a_warm_up(monkeypatch):
    calls, now = [], [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])  # a clock that only work moves

    def work(name, *seconds):
        seconds = iter(seconds)

        def function():
            calls.append(name)
            now[0] += next(seconds)

        return function

    slow, fast = work("slow", 9, 0.03, 0.03, 0.05, 0.04), work("fast", 9, *[0.01] * 7)
    seconds = bench.timed({"slow": slow, "fast": fast}, torch.device("cpu"), 3)
    assert calls[:4] == ["slow", "slow", "fast", "fast"]  # warm-up and calibration
    assert calls[4:] == ["slow", "fast", "fast"] * 3
    assert seconds == pytest.approx({"slow": 0.04, "fast": 0.01})  # medians; the warm-up does not count
