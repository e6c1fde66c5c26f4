"""Photographs at their own size: the same network, D anew, and tiles that leave no seam."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers import rms
from PIL import Image

import coldlab
from coldlab import ColdlabError, data, whole
from coldlab.__main__ import main
from coldlab.checkpoints import ready
from coldlab.degradations import REGISTRY
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


@pytest.mark.parametrize("name", coldlab.checkpoints.pretrained())
def test_the_tiles_of_the_command_line_leave_no_seam(name):
    """Every network that ships looks less far than the margin: 1e-4 apart at most, at the seam, too."""
    trained = coldlab.load_pretrained(name)
    x0 = photograph(32, 512).repeat(1, 1, 1, 2)[:, : trained.config.channels]
    at_once, tiled = (whole.resized(trained, 32, 1024, tile=tile) for tile in (1024, whole.TILE))
    D, t = at_once.D, at_once.D.T // 2
    x = D(x0, t, D.draw(x0, torch.Generator().manual_seed(0)))
    assert (tiled(x, t) - at_once(x, t)).abs().max() < 1e-4


@dataclass(eq=False)
class Lopsided(coldlab.degradations.Degradation):
    """Rows by their number, taken from a size that is one number."""

    size: int
    T: int = 3

    def degrade(self, x0, t, z):
        return x0 * (1 - torch.arange(self.size) / self.size / 2)[:, None]


@pytest.mark.parametrize("name", [*sorted(set(REGISTRY) - {"compose"}), "lopsided"])
def test_every_degradation_has_any_size_or_says_that_it_cannot(name, monkeypatch):
    """Rectangles, also of animorph's second set; a class that knows squares alone is told how to mend it."""
    monkeypatch.setitem(REGISTRY, "lopsided", Lopsided)
    channels = 3 if name in ("desaturate", "snow") else 1
    options = dict(into="digits") if name == "animorph" else dict(T=3) if name == "pixelate" else {}
    config = Config(degradation=name, size=32, channels=channels, width=8, mults=(1, 1), patch=4, options=options)
    D, R = build(config)
    if name in ("snow", "lopsided"):
        match = "square" if name == "snow" else "lopsided cannot be made for 64 x 40 pixels: .*self.shape"
        with pytest.raises(ColdlabError, match=match):
            whole.resized(ready(R, D, config), 40, 64)
        return
    D = whole.resized(ready(R, D, config), 40, 64).D
    x0 = torch.rand(2, channels, 40, 64) * 2 - 1
    x = D(x0, D.T, D.draw(x0, torch.Generator().manual_seed(0)))
    assert x.shape == x0.shape
    assert x.isfinite().all()
    assert rms(x - x0) > 0.01


def test_a_hole_in_a_photograph_takes_little_memory():
    """One table of a quarter of all places, at every severity: what a hole looks like from its middle on."""
    D = coldlab.degradations.make("mask", (427, 640), T=20)
    assert D.exact["F"].shape == (21, 428, 641)
    x0 = photograph(427, 540)[..., :100, :200]
    D = coldlab.degradations.make("mask", (100, 200), T=20, initial_mask=60)
    z = torch.tensor([[99, -1]])
    d2 = (torch.arange(100)[:, None] - 99) ** 2 + (torch.arange(200) + 1) ** 2
    F = torch.stack([1 - torch.exp(-d2.double() / 2 / (0.1 * (i + 60)) ** 2) for i in range(20)]).prod(0)
    assert torch.allclose(D.left(x0.double(), 20, z)[0, 0], F, rtol=0, atol=1e-12)


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
    with pytest.raises(ColdlabError, match="5 x 7 pixels has no whole block of 8 x 8"):
        whole.fitting(D, torch.zeros(1, 3, 7, 5))


@pytest.mark.filterwarnings("always::UserWarning")
@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("cifar10-pixelate", "it is taken as 64 x 40, colour, as cifar10-pixelate can have it."),
        ("digits-blur", "it is taken as 70 x 45, grey, as digits-blur can have it."),
    ],
)
def test_what_is_changed_of_a_whole_picture_is_said(network, said, tmp_path, capsys):
    file = tmp_path / "a.png"
    Image.fromarray(data.to_uint8(photograph(45, 70))[0].permute(1, 2, 0).numpy()).save(file)
    asked = ["restore", str(file), "--degrade", "--whole", "--pretrained", network, "--severity", "1"]
    assert main([*asked, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert said in capsys.readouterr().err


def test_all_files_that_cannot_be_read_are_named_before_one_is_restored(tmp_path, capsys):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "good.png")
    for name in ("one.png", "two.jpg"):
        (tmp_path / name).write_text("no image", encoding="utf-8")
    assert main(["restore", str(tmp_path), "--degrade", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "2 of 3 images cannot be read, so none was restored" in told
    assert "one.png" in told
    assert "two.jpg" in told
    assert not (tmp_path / "out").exists()


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
