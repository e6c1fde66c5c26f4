"""The paper's experiments by name: every setting of paper.md 2.8, and how they reach a run."""

import pytest
import torch
from helpers import images

from coldlab import ColdlabError
from coldlab.degradations import Animorph, Blur, Desaturate, Fade, Mask, Noise, Pixelate, Snow
from coldlab.lab.cli import parse
from coldlab.lab.runs import prepare
from coldlab.presets import PRESETS, preset
from coldlab.training import Config

INPAINT = dict(T=50, kernel_std=0.1, initial_mask=11, centre="random")
FLAT = dict(T=300, kernel=27, std=0.01, schedule="exponential", padding="circular", discrete=True)
PAPER = {  # name -> class, size, settings: written down from the paper's table a second time
    "mnist-blur": (Blur, 32, dict(T=20, kernel=11, std=7.0, schedule="constant", padding="circular", discrete=False)),
    "cifar10-blur": (Blur, 32, dict(T=50, schedule="special_6", padding="reflect", kernel=11, discrete=False)),
    "celeba-blur": (Blur, 128, FLAT | dict(T=200, kernel=15, padding="reflect", discrete=False)),
    "celeba-flatblur": (Blur, 128, FLAT),
    "afhq-flatblur": (Blur, 128, FLAT),
    "mnist-mask": (Mask, 32, INPAINT),
    "cifar10-mask": (Mask, 32, INPAINT),
    "celeba-mask": (Mask, 128, dict(T=100, kernel_std=0.2, initial_mask=1, centre="centred")),
    "celeba-fade": (Fade, 128, dict(T=750, kernel_std=0.05, initial_mask=1)),
    "mnist-pixelate": (Pixelate, 32, dict(T=3, mode="bicubic")),
    "cifar10-pixelate": (Pixelate, 32, dict(T=3, mode="bicubic")),
    "celeba-pixelate": (Pixelate, 128, dict(T=4, mode="bicubic")),
    "cifar10-snow": (Snow, 32, dict(T=200, level=3, fix_brightness=True)),
    "celeba-snow": (Snow, 128, dict(T=200, level=4, fix_brightness=True)),
    "cifar10-desaturate": (Desaturate, 32, dict(T=20, schedule="linear")),
    "celeba-desaturate": (Desaturate, 128, dict(T=20, schedule="linear")),
    "celeba-animorph": (Animorph, 128, dict(T=200)),
    "celeba-noise": (Noise, 128, dict(T=200)),
}


@pytest.mark.parametrize("name", PAPER)
def test_each_experiment_of_the_paper_has_its_settings(name):
    kind, size, settings = PAPER[name]
    p = preset(name)
    dataset, _, degradation = name.partition("-")
    assert p.dataset == (None if dataset == "afhq" else dataset)
    assert p.size == size
    assert p.degradation == degradation.removeprefix("flat")
    if name in ("celeba-fade", "celeba-flatblur", "afhq-flatblur") and kind is not Blur:
        p = type(p)(p.dataset, 16, p.degradation, p.options)  # the whole table takes seconds to build
    D = p.build()
    assert type(D) is kind
    assert {key: getattr(D, key) for key in settings} == settings
    assert D.size in (None, p.size)


def test_presets_are_named_dataset_degradation_and_all_build():
    assert set(PAPER) <= set(PRESETS)
    for name, p in PRESETS.items():
        dataset, *size, degradation = name.split("-")
        assert p.dataset in (dataset, None)
        assert size in ([], [str(p.size)])
        assert degradation.endswith(p.degradation)
        assert parse(f"{key}={value}" for key, value in p.options.items()) == p.options  # what the command line does
    D = preset("digits-blur").build()
    assert torch.equal(D(images(2, 1, 32), 20), Blur(32)(images(2, 1, 32), 20))


def test_an_unknown_preset_raises_with_the_nearest():
    with pytest.raises(ColdlabError, match=r"unknown preset 'mnist-blurr'; did you mean 'mnist-blur'\?.*celeba-noise"):
        preset("mnist-blurr")


def test_options_are_read_as_numbers_switches_or_text():
    read = parse(("T=40", "std=5.0", "discrete=True", "schedule=special_6", "padding=reflect", "kernel=1e1", "x=a=b"))
    assert read == dict(T=40, std=5.0, discrete=True, schedule="special_6", padding="reflect", kernel=10.0, x="a=b")
    assert isinstance(read["T"], int)
    assert parse(()) == {}
    assert parse(("T=1", "T=2")) == {"T": 2}  # the last one counts: a user's after the preset's
    for wrong in ("T", "=3", ""):
        with pytest.raises(ColdlabError, match=r"write KEY=VALUE"):
            parse((wrong,))


def test_a_run_takes_its_presets_settings_and_its_own_before_them(monkeypatch):
    asked = []

    def load(name, split="train", size=None, zoom=None, skip_unreadable=False):
        asked.append((name, size, zoom))
        return torch.zeros(3, 1, size or 28, size or 28, dtype=torch.uint8), None

    monkeypatch.setattr("coldlab.data.load", load)
    config, _ = prepare(Config(dataset="mnist", degradation="blur"))
    assert asked[-1] == ("mnist", 32, None)  # plain resizing, as the paper's tables
    assert config.options == dict(T=20, kernel=11, std=7.0)
    assert (config.size, config.channels, config.zoom) == (32, 1, None)
    config, _ = prepare(Config(dataset="mnist", degradation="mask"))
    assert asked[-1] == ("mnist", 32, None)
    assert config.options["centre"] == "random"
    config, _ = prepare(Config(dataset="mnist", degradation="blur", options={"T": 40}, size=24, zoom=1.5))
    assert asked[-1] == ("mnist", 24, 1.5)
    assert config.options == dict(T=40, kernel=11, std=7.0)
    with pytest.raises(ColdlabError, match=r"options = \('T=40',\); it is a dict, such as"):
        prepare(Config(dataset="mnist", degradation="blur", options=("T=40",)))
    config, _ = prepare(Config(dataset="some/folder", degradation="blur"))
    assert asked[-1] == ("some/folder", None, None)
    assert (config.options, config.size) == ({}, 28)
