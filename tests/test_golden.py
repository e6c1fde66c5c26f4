"""The official code's own numbers (tests/golden, formulas in its README), reproduced to 1e-5.

Two conventions differ and are translated here: the official code counts severities from 0 where we count from 1, and it
passes R the index s - 1 where we pass s.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from coldlab.data import eight_bits
from coldlab.degradations import Animorph, Blur, Desaturate, Fade, Mask, Noise, Pixelate, Snow
from coldlab.sampling import improved, naive

GOLDEN = Path(__file__).parent / "golden"
CLOSE = dict(rtol=0, atol=1e-5)


def load(name):
    """The arrays of a file as tensors; settings of no dimension as numbers."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(value) if value.ndim else value.item() for key, value in file.items()}


def blur(g, schedule="constant", padding="circular", **more):
    settings = dict(kernel=g["kernel_size"]) | ({"std": g["kernel_std"]} if schedule != "special_6" else {})
    return Blur(g["x0"].shape[-1], g["T"], **settings, schedule=schedule, padding=padding, **more)


def mask(g, centre):
    return Mask(g["x0"].shape[-1], g["T"], g["kernel_std"], g["initial_mask"], centre=centre)


def offset_centres(g):
    """The official window offsets r as our (row, column): N - 1 - r; r_x moves the rows, whatever its name says."""
    return torch.stack([g["r_x"], g["r_y"]], 1).long().neg() + g["x0"].shape[-1] - 1


DEGRADATIONS = {  # file -> (D, z) of its arrays
    "blur_incremental": lambda g: (blur(g, "incremental"), None),
    "blur_constant": lambda g: (blur(g), None),
    "blur_constant_reflect": lambda g: (blur(g, padding="reflect"), None),
    "blur_exponential": lambda g: (blur(g, "exponential"), None),
    "blur_exponential_reflect": lambda g: (blur(g, "exponential", "reflect"), None),
    "blur_special_6": lambda g: (blur(g, "special_6", "reflect"), None),
    "blur_discrete": lambda g: (blur(g, discrete=True), None),
    "resolution_bicubic": lambda g: (Pixelate(32, g["T"], mode="bicubic"), None),
    "resolution_area": lambda g: (Pixelate(32, g["T"]), None),
    "inpaint_centred_mask1": lambda g: (mask(g, "centred"), None),
    "inpaint_centred_mask11": lambda g: (mask(g, "centred"), None),
    "inpaint_random_mask1": lambda g: (mask(g, "random"), offset_centres(g)),
    "inpaint_random_mask11": lambda g: (mask(g, "random"), offset_centres(g)),
    "maskgen_reverse": lambda g: (Fade(20, g["T"], g["kernel_std"], g["initial_mask"]), g["colour"]),
    "decolour_linear": lambda g: (Desaturate(T=g["T"]), None),
    "noise": lambda g: (Noise(T=g["T"]), g["z"]),
    "animorph": lambda g: (Animorph(T=g["T"]), g["z"]),
}
SNOW = ("snow_level1", "snow_level3", "snow_level3_single")
SAMPLERS = ("sampler_blur", "sampler_resolution", "sampler_noise")


def test_every_file_is_used():
    files = {path.stem for path in GOLDEN.glob("*.npz")}
    assert files == {*DEGRADATIONS, *SNOW, *SAMPLERS}
    assert len(files) == 23


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradations(name):
    g = load(name)
    D, z = DEGRADATIONS[name](g)
    assert D.T == g["T"]
    assert g["T"] in g["t"].tolist() or name == "decolour_linear"
    for t, expected in zip(g["t"].tolist(), g["xt"], strict=True):
        assert torch.allclose(D(g["x0"], t, z), expected, **CLOSE), t
        per_image = torch.full((len(g["x0"]),), t)
        assert torch.allclose(D(g["x0"], per_image, z), expected, **CLOSE), t


def test_the_random_masks_reach_the_extreme_offsets():
    for name in ("inpaint_random_mask1", "inpaint_random_mask11"):
        centres = offset_centres(load(name))
        assert centres[-1].tolist() == [-1, 15]  # one pixel above the image, last column
        assert centres.min() >= -1
        assert centres.max() <= 15


def test_masks_and_weights():
    g = load("maskgen_reverse")
    white, black = torch.ones(1, 1, 20, 20), torch.zeros(1, 1)
    D = Fade(20, g["T"], g["kernel_std"], g["initial_mask"])
    for t, w in zip(g["t"].tolist(), g["w"], strict=True):
        assert torch.allclose(1 - D(white, t, black)[0, 0], w, **CLOSE), t


@pytest.mark.parametrize("name", ["noise", "animorph", "sampler_noise"])
def test_the_cosine_schedule(name):
    g = load(name)
    zeros, ones = torch.zeros(1, 1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 1, 1, dtype=torch.float64)
    D = Noise(T=g["T"])
    abar = torch.tensor([D(ones, t, zeros).item() ** 2 for t in range(1, g["T"] + 1)], dtype=torch.float64)
    rest = torch.tensor([D(zeros, t, ones).item() ** 2 for t in range(1, g["T"] + 1)], dtype=torch.float64)
    # Theirs is float32 arithmetic, whose relative error near T is 3e-5; ours is computed in float64.
    assert torch.allclose(abar, g["alphas_cumprod"].double(), rtol=1e-4, atol=0)
    assert torch.allclose(abar + rest, torch.ones(()).double(), rtol=0, atol=1e-12)


def test_discrete_blur_of_training_images_is_rounded_by_us_and_truncated_by_them():
    """On purpose: truncation darkens every training image by half a level on average, which no sampled image is."""
    g = load("blur_discrete")
    D = blur(g, discrete=True)
    for t, theirs in zip(g["t"].tolist(), g["xt_quantised"], strict=True):
        x = D(g["x0"], t)
        truncated = 2 * ((x + 1) / 2 * 255).trunc() / 255 - 1
        assert torch.allclose(truncated, theirs, **CLOSE)  # so the input is theirs to within a level's edge
        ours, level = eight_bits(x), 2 / 255
        assert ((ours - x).abs() <= level / 2 + 1e-6).all()
        assert ((theirs - x) <= 1e-5).all()
        assert t == D.T or (x - theirs).max() > 0.9 * level  # theirs is up to a whole level off (x_T is one value)
        assert torch.allclose((ours - theirs) / level, ((ours - theirs) / level).round(), atol=1e-3)
        assert set(((ours - theirs) / level).round().unique().tolist()) <= {0, 1}
    xs = [D(g["x0"], t) for t in g["t"].tolist()]
    bias = lambda kept: torch.cat([(a - b).flatten() for a, b in zip(kept, xs, strict=True)]).mean().item()  # noqa: E731
    assert bias(g["xt_quantised"]) < -0.003
    assert abs(bias([eight_bits(x) for x in xs])) < 0.001


@pytest.mark.parametrize("name", SNOW)
def test_snow(name):
    g = load(name)
    x0, N = g["x0"], g["x0"].shape[-1]
    D, dull = Snow(N, g["T"], g["level"]), Snow(N, g["T"], g["level"], fix_brightness=False)
    field = D.zoom(g["base_field"])
    black = torch.full_like(x0, -1)
    for j, t in enumerate(g["t"].tolist()):
        # In the "single" file the official code tosses each image's direction anew at every severity. We toss once,
        # because D must be a function of (x0, t, z); so each severity is compared with its own directions.
        vertical = g["vertical"][j] if torch.is_tensor(g["vertical"]) else torch.tensor([g["vertical"]])
        z = (field, vertical.bool())
        assert torch.allclose(D(x0, t, z), g["xt"][j], **CLOSE), t
        S = g["snow"][j][:, None]
        alone = (D(black, t, z) + 1) / 2  # the flakes and their half turn, on a black picture
        assert torch.allclose(alone, (S + S.flip(2, 3)).clamp(0, 1).expand_as(black), **CLOSE), t
        if t == g["t_not_fixed"]:
            assert torch.allclose(dull(x0, t, z), g["xt_not_fixed"], **CLOSE)
    assert g["t_not_fixed"] in g["t"].tolist()


def test_the_directions_of_single_snow_do_change_in_the_official_files():
    vertical = load("snow_level3_single")["vertical"]
    assert (vertical != vertical[0]).any()  # the deviation that test_snow names is real


# ------------------------------------------------------------------------------------------------------------ samplers


def official(x, s):
    """The files' stand-in for a network, called by us with s = 1..T and by them with s - 1."""
    return 0.5 * x + 0.1 * np.cos(s - 1)


def compare(steps, g, states, end):
    reached = {}
    for r, x, _ in steps:
        reached[r] = x
    assert list(reached) == list(range(g["T"] - 1, -1, -1))
    for t, expected in zip(g["t_states"].tolist(), g[states], strict=True):
        assert torch.allclose(reached[t], expected, **CLOSE), t
    assert torch.allclose(reached[0], g[end], **CLOSE)


@pytest.mark.parametrize("name", ["sampler_blur", "sampler_resolution"])
def test_both_samplers(name):
    g = load(name)
    D = blur(g) if name == "sampler_blur" else Pixelate(16, g["T"], mode="bicubic")
    assert torch.allclose(D(g["x0"], D.T), g["x_T"], **CLOSE)
    compare(naive(official, D, g["x_T"]), g, "states_alg1", "end_alg1")
    compare(improved(official, D, g["x_T"]), g, "states_alg2", "end_alg2")
    assert not torch.allclose(g["end_alg1"], g["end_alg2"], atol=1e-2)  # the two differ here


def test_the_samplers_on_noise():
    g = load("sampler_noise")
    D = Noise(T=g["T"])
    compare(improved(official, D, g["x_T"], D.infer), g, "states_ddim", "end_ddim")
    compare(naive(official, D, g["x_T"], D.infer), g, "states_ddim", "end_ddim")
    compare(improved(official, D, g["x_T"], g["x_T"]), g, "states_fixed", "end_fixed")
    assert not torch.allclose(g["end_ddim"], g["end_fixed"], atol=1e-2)
