"""Photographs at their own size: the same network, D anew, and tiles that leave no seam."""

import re

import numpy as np
import pytest
import torch
from helpers import rms
from PIL import Image

import coldlab
from coldlab import ColdlabError, data, whole
from coldlab.__main__ import main
from coldlab.checkpoints import ready
from coldlab.training import Config, build


@pytest.fixture(scope="module")
def colour():
    return coldlab.load_pretrained("cifar10-blur")


def photograph(height, width):
    from sklearn.datasets import load_sample_image

    pixels = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None]
    return data.to_float(pixels[..., :height, 100 : 100 + width])


def test_at_its_own_size_a_network_is_itself(colour):
    x0 = photograph(32, 32)
    x = colour.D(x0, 50)
    same = whole.resized(colour, 32, 32)
    assert torch.equal(same.D(x0, 50), x)
    assert torch.equal(same(x, 50), colour(x, 50))
    assert same.config == colour.config


def test_a_circle_becomes_mirrors():
    R = whole.resized(coldlab.load_pretrained("digits-blur"), 48, 40)
    assert (R.D.padding, R.D.size) == ("reflect", (48, 40))


def test_a_photograph_comes_nearer_to_what_it_was(colour):
    x0 = photograph(120, 171)  # no multiple of anything
    R = whole.resized(colour, 120, 171)
    x = R.D(x0, R.D.T)
    assert R(x, R.D.T).shape == x0.shape
    assert rms(R(x, R.D.T) - x0) < 0.85 * rms(x - x0)


def test_tiles_with_a_margin_leave_no_seam(colour):
    x0 = photograph(300, 320)
    R = whole.resized(colour, 300, 320)
    x = R.D(x0, R.D.T)
    at_once = R(x, R.D.T)
    off = {m: (whole.resized(colour, 300, 320, 64, m)(x, R.D.T) - at_once).abs().max() for m in (0, 64, 256)}
    assert off[0] > 0.05 > off[64] > off[256]
    assert off[256] < 1e-4


@pytest.mark.parametrize(("tile", "margin"), [(100, 64), (64, 10), (0, 64), (64, -64)])
def test_tiles_lie_on_the_grid_of_the_network(colour, tile, margin):
    with pytest.raises(ColdlabError, match="multiples of 16"):
        whole.resized(colour, 64, 64, tile, margin)


def test_what_cannot_be_whole_is_told():
    config = Config(size=16, channels=1, width=8, mults=(1, 1), patch=1, attention=(1,), options=dict(T=3))
    D, R = build(config)
    with pytest.raises(ColdlabError, match="attention"):
        whole.resized(ready(R, D, config), 32, 48)


def test_pixelation_takes_whole_blocks():
    D = coldlab.degradations.Pixelate(32, 3)
    assert whole.fitting(D, torch.zeros(1, 3, 45, 70)).shape == (1, 3, 40, 64)
    assert whole.fitting(coldlab.degradations.Blur(32), torch.zeros(1, 3, 45, 70)).shape == (1, 3, 45, 70)


def test_the_command_restores_files_at_their_own_size(tmp_path, capsys):
    for name, (height, width) in {"wide": (60, 91), "tall": (77, 40)}.items():
        pixels = data.to_uint8(photograph(height, width))[0].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in ("wide", "tall")]
    where = ["--pretrained", "cifar10-blur", "--out", str(tmp_path / "out"), "--device", "cpu", "--severity", "20"]
    assert main(["restore", *files, *where, "--degrade", "--whole", "--sampler", "averaged"]) == 0
    told = capsys.readouterr().out
    for name, size in (("wide", (91, 60)), ("tall", (40, 77))):
        restored = Image.open(tmp_path / "out" / f"{name}-restored.png")
        assert restored.size == size
        before, after = (float(e) for e in re.findall(rf"{name}\.png, \w+: RMSE (\S+), SSIM", told))
        assert after < before
        off = np.asarray(restored) / 255 - np.asarray(Image.open(tmp_path / f"{name}.png")) / 255
        assert np.sqrt((off**2).mean()) == pytest.approx(after, abs=2e-3)  # what is told is what is written


def test_films_of_large_pictures_are_small():
    from coldlab.lab.pictures import small

    x = photograph(200, 400)
    assert small(x).shape == (1, 3, 128, 256)
    assert small(x[..., :100, :100]).shape[-2:] == (100, 100)
    assert abs(small(x).mean() - x.mean()) < 1e-3
