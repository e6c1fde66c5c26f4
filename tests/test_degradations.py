"""Every degradation, run through one list of rules, and compared with a second implementation in float64."""

import copy
import dataclasses
import inspect
import pickle
import re
from dataclasses import dataclass

import chapters
import helpers
import numpy as np
import pytest
import torch
from helpers import CASES, DTYPES, SIZE, case, draw, entry, images, rms, severities

from coldlab import ColdlabError
from coldlab.degradations import (
    REGISTRY,
    Animorph,
    Blur,
    Compose,
    Degradation,
    Desaturate,
    Fade,
    Mask,
    Noise,
    Pixelate,
    Snow,
    make,
    register,
)
from coldlab.degradations.base import full_precision
from coldlab.sampling import evenly

BITS = {torch.float64: torch.int64, torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}
every_case = pytest.mark.parametrize("name", CASES)


def same_bits(a, b):
    return a.dtype == b.dtype and torch.equal(a.contiguous().view(BITS[a.dtype]), b.contiguous().view(BITS[b.dtype]))


def test_the_registry_has_all_of_the_course():
    wanted = {"blur", "mask", "pixelate", "snow", "animorph", "desaturate", "noise", "fade", "compose"}
    assert wanted <= set(REGISTRY)
    assert all(issubclass(cls, Degradation) for cls in REGISTRY.values())


# ----------------------------------------------------------------------------------------------- rules for all of them


@every_case
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_severity_zero_is_the_image_bit_for_bit(name, dtype):
    D, x = case(name), images(dtype=dtype)
    z = draw(D, x)
    assert same_bits(D(x, 0, z), x)
    assert same_bits(D(x, torch.zeros(4, dtype=torch.long), z), x)
    mixed = D(x, torch.tensor([0, D.T, 0, 1]), z)
    assert same_bits(mixed[::2], x[::2])
    assert not torch.equal(mixed[1], x[1])  # the others did change


@every_case
def test_a_severity_per_image_is_the_loop_over_images(name):
    D, x = case(name), images(8)
    z, ts = draw(D, x), severities(D)
    alone = {t: torch.cat([D(x[i : i + 1], t, entry(z, i)) for i in range(8)]) for t in ts}
    for t in ts:
        assert torch.allclose(D(x, t, z), alone[t], rtol=0, atol=2e-6), t
    for shift in range(3):
        t = torch.tensor([ts[(i + shift) % len(ts)] for i in range(8)])
        loop = torch.stack([alone[s][i] for i, s in enumerate(t.tolist())])
        assert torch.allclose(D(x, t, z), loop, rtol=0, atol=2e-6), t
    assert torch.equal(D(x, torch.full((8,), D.T, dtype=torch.int32), z), D(x, torch.full((8,), D.T), z))


@every_case
def test_it_depends_on_nothing_but_x0_t_and_z(name):
    D, x = case(name), images()
    before, z = x.clone(), draw(D, x)
    t = torch.tensor([1, D.T // 2, D.T - 1, D.T])
    torch.manual_seed(1)
    first = D(x, t, z)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = D(x, t, z)
    assert same_bits(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert same_bits(x, before)  # D works on a copy


@every_case
def test_z_is_drawn_from_the_generator_one_entry_per_image(name):
    D, x = case(name), images(6)
    state = torch.get_rng_state()
    z, again, other = draw(D, x, 3), draw(D, x, 3), draw(D, x, 4)
    assert torch.equal(torch.get_rng_state(), state)
    if not D.needs_z:
        assert all(torch.equal(D(x, t), D(x, t, z)) for t in severities(D))
        return
    assert torch.equal(D(x, D.T, z), D(x, D.T, again))
    middle = max(1, D.T // 2)
    outputs = [D(x, t, z) for t in (middle, D.T)], [D(x, t, other) for t in (middle, D.T)]
    assert any(not torch.equal(a, b) for a, b in zip(*outputs, strict=True))
    # Image 0 sees its own z and no other: with the others' exchanged, it stays and they change.
    mixed = D(x, middle, swap_all_but_first(z, other))
    assert torch.equal(mixed[:1], D(x, middle, z)[:1])
    assert torch.equal(mixed[1:], D(x, middle, other)[1:])


def swap_all_but_first(z, other):
    if z is None:
        return None
    if isinstance(z, tuple):
        return tuple(swap_all_but_first(*pair) for pair in zip(z, other, strict=True))
    return torch.cat([z[:1], other[1:]])


@every_case
def test_a_missing_z_raises_and_says_how_to_draw_it(name):
    D, x = case(name), images()
    if not D.needs_z:
        assert D(x, D.T).shape == x.shape
        return
    for t in (0, 1, torch.tensor([0, 1, 0, D.T])):
        with pytest.raises(ColdlabError, match=r"needs z.*D\.draw\(x0\)"):
            D(x, t)


@every_case
def test_kind_and_shape_are_kept_and_low_precision_is_only_rounded_at_the_end(name):
    D = case(name)
    for dtype in DTYPES:
        x = images(3, dtype=dtype)
        z, t = draw(D, x.float()), torch.tensor([1, D.T // 2, D.T])
        y = D(x, t, z)
        assert (y.dtype, y.shape) == (dtype, x.shape)
        assert y.isfinite().all()
        if dtype in (torch.float16, torch.bfloat16):
            assert same_bits(y, D(x.float(), t, z).to(dtype))
        own = draw(D, x)  # in the kind of x: whatever D draws for half precision, D takes
        assert D(x, t, own).dtype == dtype


@every_case
def test_it_is_the_formula_to_1e_6_in_float32_and_to_1e_12_in_float64(name):
    D = case(name)
    x = images(2, dtype=torch.float64)
    z = draw(D, x)
    for t in severities(D):
        expected = helpers.reference(D, x, t, z)
        assert torch.allclose(D(x, t, z), expected, rtol=0, atol=1e-12), t
        assert torch.allclose(D(x.float(), t, z).double(), expected, rtol=0, atol=1e-6), t
        assert torch.allclose(D(x, torch.tensor([t, t]), z), expected, rtol=0, atol=1e-12), t


@every_case
def test_a_severity_out_of_range_raises(name):
    D, x = case(name), images()
    z = draw(D, x)
    wrong = {-1: -1, D.T + 1: D.T + 1, torch.tensor([0, 1, D.T + 7, 1]): D.T + 7, torch.tensor([0, 1, -2, 1]): -2}
    for t, value in wrong.items():
        with pytest.raises(ColdlabError, match=rf"severity t = {value}\b.*0\.\.{D.T}\b"):
            D(x, t, z)


@every_case
def test_a_severity_of_the_wrong_kind_raises(name):
    D, x = case(name), images()
    for t in (1.5, "3", None):
        with pytest.raises(ColdlabError, match=rf"a whole number in 0\.\.{D.T}"):
            D(x, t, draw(D, x))
    for t in (torch.ones(4), torch.tensor(1), torch.ones(3, dtype=torch.long), torch.ones(4) > 0, torch.ones(4).byte()):
        with pytest.raises(ColdlabError, match=r"an int or a \(4,\) long"):
            D(x, t, draw(D, x))
    assert same_bits(D(x, np.int64(1), draw(D, x)), D(x, 1, draw(D, x)))
    assert same_bits(D(x, True, draw(D, x)), D(x, 1, draw(D, x)))


@every_case
def test_integer_images_raise_and_say_how_to_convert(name):
    D = case(name)
    for dtype in (torch.uint8, torch.int64):
        with pytest.raises(ColdlabError, match=rf"{dtype}.*\[-1, 1\].*to_float"):
            D(torch.zeros(2, 3, SIZE, SIZE, dtype=dtype), 1, draw(D, images(2)))
    with pytest.raises(ColdlabError, match=r"ndarray.*to_float"):
        D(np.zeros((2, 3, SIZE, SIZE)), 1, draw(D, images(2)))


@every_case
def test_images_of_the_wrong_shape_raise(name):
    D = case(name)
    shapes = [(3, SIZE, SIZE)]  # no batch
    if D.size is not None:
        shapes += [(2, 3, SIZE, SIZE + 1), (2, 3, SIZE + 1, SIZE), (2, 3, 2 * SIZE, 2 * SIZE)]
    for shape in shapes:
        size = D.size or "any"
        with pytest.raises(ColdlabError) as raised:
            D(torch.zeros(shape), 1, draw(D, images(2)))
        assert str(shape) in str(raised.value)
        assert f"(B, C, {size}, {size})" in str(raised.value)


@every_case
def test_autocast_does_not_reach_it(name):
    D, x = case(name), images()
    z, t = draw(D, x), torch.tensor([1, D.T // 2, D.T - 1, D.T])
    plain = D(x, t, z)
    with torch.autocast("cpu", torch.bfloat16):
        assert same_bits(D(x, t, z), plain)


@every_case
def test_a_lower_matmul_precision_does_not_reach_it(name):
    D, x = case(name), images()
    z, t = draw(D, x), torch.tensor([1, D.T // 2, D.T - 1, D.T])
    plain = D(x, t, z)
    try:
        torch.set_float32_matmul_precision("medium")
        assert same_bits(D(x, t, z), plain)
        assert torch.get_float32_matmul_precision() == "medium"  # and D leaves the setting as it was
    finally:
        torch.set_float32_matmul_precision("highest")


@every_case
def test_nothing_of_it_is_saved_or_trained(name):
    D = case(name)
    assert not D.state_dict()
    assert not list(D.parameters())


@every_case
def test_copies_are_equal(name):
    D, x = case(name), images()
    z, t = draw(D, x), torch.tensor([1, D.T // 2, D.T - 1, D.T])
    names = {cls.__name__: cls for cls in REGISTRY.values()}
    for twin in (pickle.loads(pickle.dumps(D)), copy.deepcopy(D), eval(repr(D), names)):
        assert repr(twin) == repr(D)
        assert type(twin) is type(D)
        assert same_bits(twin(x, t, z), D(x, t, z))
        assert same_bits(twin(x.double(), t, z), D(x.double(), t, z))


@every_case
def test_it_moves_with_to(name):
    D = CASES[name]().to("meta")
    assert all(buffer.device.type == "meta" for buffer in D.buffers())


@every_case
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_casting_the_module_changes_no_result(name, dtype):
    D, x = case(name), images()
    z, t = draw(D, x), torch.tensor([1, D.T // 2, D.T - 1, D.T])
    cast = CASES[name]().to(dtype)
    for images_of in (torch.float32, torch.float64):
        for severity in (t, D.T):
            y, expected = cast(x.to(images_of), severity, z), D(x.to(images_of), severity, z)
            assert y.dtype == images_of
            assert torch.allclose(y, expected, rtol=0, atol=1e-6 if images_of == torch.float32 else 1e-12)


@every_case
def test_gradients_pass_through_to_the_image(name):
    D = case(name)
    x = images(2).requires_grad_()
    D(x, max(1, D.T // 3), draw(D, x.detach())).sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.abs().max() > 0


# ------------------------------------------------------------------------------------------------- precision, registry


@dataclass(eq=False)
class Probe(Degradation):
    T: int = 3

    def __post_init__(self):
        super().__post_init__()
        self.seen = []

    def degrade(self, x0, t, z):
        self.seen.append((x0.dtype, torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision()))
        return x0 * 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_degrade_runs_in_full_precision_with_autocast_and_tf32_switched_on(dtype):
    D = Probe()
    try:
        torch.set_float32_matmul_precision("high")
        with torch.autocast("cpu", torch.bfloat16):
            assert D(images(dtype=dtype), 1).dtype == dtype
            assert torch.is_autocast_enabled("cpu")  # still on for the caller
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert D.seen == [(torch.float64 if dtype == torch.float64 else torch.float32, False, "highest")]


def test_the_precision_is_put_back_after_an_error():
    try:
        torch.set_float32_matmul_precision("high")
        with pytest.raises(ZeroDivisionError), full_precision("cpu"):
            _ = 1 / 0
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="a torch with one switch only")
def test_it_works_where_the_newer_switch_for_tf32_was_used():
    matmul, x = torch.backends.cuda.matmul, images()
    before, plain = matmul.fp32_precision, Blur(SIZE)(x, 3)
    try:
        matmul.fp32_precision = "tf32"  # from then on torch refuses questions through the old switch
        assert same_bits(Blur(SIZE)(x, 3), plain)
        assert matmul.fp32_precision == "tf32"
        assert Blur(SIZE).inverse(x, 3).shape == x.shape
    finally:
        matmul.fp32_precision = before


def test_a_new_class_is_found_by_its_name():
    @register("halve")
    @dataclass(eq=False)
    class Halve(Degradation):
        size: int
        T: int = 4

        def degrade(self, x0, t, z):
            return x0 * 0.5**t

    try:
        assert torch.equal(make("halve", SIZE, T=2)(images(), 2), images() / 4)
        assert make("halve+blur", SIZE).T == 20
    finally:
        del REGISTRY["halve"]


@dataclass(eq=False)
class Halve(Degradation):
    """A degradation that a user has added, in one class."""

    size: int
    T: int = 4

    def degrade(self, x0, t, z):
        return x0 * 0.5 ** torch.as_tensor(t).reshape(-1, 1, 1, 1).to(x0)


def test_options_of_any_kind_are_checked(monkeypatch):
    """A class from a file with `from __future__ import annotations` has strings for types."""

    @dataclass(eq=False)
    class Steps(Degradation):
        size: "int"
        T: "int" = 3
        at: tuple[int, ...] = (1, 2)

    monkeypatch.setitem(REGISTRY, "steps", Steps)
    assert make("steps", 8, T=5, at=(1,)).at == (1,)
    with pytest.raises(ColdlabError, match=r"option T=1\.5 of steps is no int; try T=3"):
        make("steps", 8, T=1.5)
    with pytest.raises(ColdlabError, match="option at=4 of steps is no tuple"):
        make("steps", 8, at=4)


def test_a_new_degradation_is_listed_and_its_missing_reference_fails_loudly(monkeypatch, capsys):
    """One class, registered: the command line lists it, training takes it, the rules above would run over it."""
    from coldlab.__main__ import main

    monkeypatch.setitem(REGISTRY, "halve", Halve)
    assert main(["degradations"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert "halve        A degradation that a user has added, in one class." in listed
    for known, cls in REGISTRY.items():  # formulas with dots in them, too
        assert f"{known:12s} {inspect.getdoc(cls).splitlines()[0]}" in listed
    monkeypatch.setitem(CASES, "halve", lambda: make("halve", SIZE))  # what helpers.py does for all it finds
    helpers.case.cache_clear()
    test_severity_zero_is_the_image_bit_for_bit("halve", torch.float32)
    with pytest.raises(NotImplementedError, match=r"Halve has no second implementation: write one in .*helpers\.py"):
        test_it_is_the_formula_to_1e_6_in_float32_and_to_1e_12_in_float64("halve")
    helpers.case.cache_clear()


def test_no_chapter_prints_or_walks_the_registry():
    """What others add must not change the book: it names the course's family itself."""
    for source in chapters.sources():
        code = "\n".join(cell.source for cell in chapters.read(source).cells if cell.cell_type == "code")
        uses = [line for line in code.splitlines() if "REGISTRY" in line]
        assert all(" in degradations.REGISTRY" in line or "<= set(degradations.REGISTRY)" in line for line in uses), (
            uses
        )
        assert not any(line.lstrip().startswith("for ") for line in uses), uses
        for cell in chapters.read(source.with_suffix(".ipynb")).cells:  # an error's list of all known names, too
            assert not any("Known: " in output.get("text", "") for output in cell.get("outputs", [])), cell.source


def test_unknown_names_and_options_raise_with_the_nearest_known_one():
    with pytest.raises(ColdlabError, match=r"unknown degradation 'blurr'; did you mean 'blur'\?.*mask.*snow"):
        make("blurr", 32)
    with pytest.raises(ColdlabError, match=r"unknown option of blur 'kernal'; did you mean 'kernel'\?.*schedule"):
        make("blur", 32, kernal=3)
    with pytest.raises(ColdlabError, match=r"'incremantal'; did you mean 'incremental'\?.*special_6"):
        Blur(32, schedule="incremantal")
    with pytest.raises(ColdlabError, match=r"'circle'.*circular.*reflect.*zero"):
        Blur(32, padding="circle")
    with pytest.raises(ColdlabError, match=r"'bicubik'; did you mean 'bicubic'\?"):
        Pixelate(32, mode="bicubik")
    with pytest.raises(ColdlabError, match=r"'center'.*centred.*random"):
        Mask(32, centre="center")
    with pytest.raises(ColdlabError, match=r"snow level 5.*1, 2, 3, 4"):
        Snow(32, level=5)
    with pytest.raises(ColdlabError, match=r"'linea'; did you mean 'linear'\?"):
        Desaturate(schedule="linea")


def test_the_parts_of_a_composition_have_settings_of_their_own():
    D = make("blur+mask", 32, **{"blur.T": 5, "blur.std": 1.0, "mask.T": 10})
    assert [(part.T, type(part)) for part in D.parts] == [(5, Blur), (10, Mask)]
    assert D.parts[0].std == 1.0
    assert D.T == 10


def test_impossible_settings_raise():
    with pytest.raises(ColdlabError, match=r"kernel = 4.*odd"):
        Blur(32, kernel=4)
    with pytest.raises(ColdlabError, match=r"kernel = 27.*reflect at size 8.*below 16"):
        Blur(8, kernel=27, padding="reflect")
    with pytest.raises(ColdlabError, match=r"size 20.*T = 3 times"):
        Pixelate(20, T=3)
    with pytest.raises(ColdlabError, match=r"at least one"):
        Compose(())
    with pytest.raises(ColdlabError, match=r"option T of blur\+mask; say of which part, such as blur\.T=5"):
        make("blur+mask", 32, T=3)
    with pytest.raises(ColdlabError, match=r"option snow\.T of blur\+mask; say of which part"):
        make("blur+mask", 32, **{"snow.T": 3})
    with pytest.raises(ColdlabError, match=r"option of mask 'kernel'; did you mean 'kernel_std'"):
        make("blur+mask", 32, **{"mask.kernel": 3})
    with pytest.raises(ColdlabError, match=r"1 channel.*colour"):
        Desaturate()(images(channels=1), 1)
    with pytest.raises(ColdlabError, match=r"batch of 1"):
        Animorph().draw(images(1))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("blur", {"T": "abc"}), ("blur", {"T": 4.5}), ("blur", {"T": 0}), ("blur", {"T": -1}), ("blur", {"std": 0}),
        ("noise", {"T": 4.5}), ("desaturate", {"T": 0}), ("mask", {"T": -3}), ("mask", {"kernel_std": 0.0}),
        ("snow", {"T": "x"}), ("pixelate", {"T": 1.5}), ("fade", {"T": 0}), ("blur", {"kernel": "x"}), ("compose", {}),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_raise_a_sentence(name, options):
    with pytest.raises(ColdlabError):
        make(name, 16, **options)


# ------------------------------------------------------------------------------------------------------ blur, pixelate


@pytest.mark.parametrize("padding", ["circular", "reflect", "zero"])
@pytest.mark.parametrize("T", [20, 50, 200])
def test_blur_by_matrices_is_a_chain_of_convolutions(T, padding):
    for schedule, kernel, std in [("constant", 11, 7.0), ("exponential", 15, 0.01)]:
        D = Blur(32, T, kernel, std, schedule=schedule, padding=padding)
        x = images(2, 1, 32, dtype=torch.float64, seed=T)
        states = helpers.blur_chain(x, T, kernel, std, schedule, padding)
        for t in sorted({1, 2, 3, T // 2, T - 1, T}):
            assert torch.allclose(D(x.float(), t).double(), states[t], rtol=0, atol=1e-6), (schedule, t)
            assert torch.allclose(D(x, t), states[t], rtol=0, atol=1e-13), (schedule, t)
        assert rms(states[T] - states[1]) > 0.02  # not the same image T times


def test_a_kernel_wider_than_the_image_wraps_around_more_than_once():
    x = images(1, 1, 5, dtype=torch.float64)
    taps = helpers.gaussian(13, 4.0)
    row = sum(taps[j + 6] * x.roll(-j, 3) for j in range(-6, 7))
    both = sum(taps[j + 6] * row.roll(-j, 2) for j in range(-6, 7))
    assert torch.allclose(Blur(5, 1, 13, 4.0)(x, 1), both, rtol=0, atol=1e-13)


def test_discrete_blur_ends_in_the_mean_of_each_channel_and_nowhere_else():
    x, D, plain = images(), Blur(SIZE, 6, discrete=True), Blur(SIZE, 6)
    assert torch.allclose(D(x, 6), x.mean((2, 3), keepdim=True).expand_as(x), rtol=0, atol=1e-6)
    assert torch.equal(D(x, 5), plain(x, 5))
    assert rms(plain(x, 6) - D(x, 6)) > 1e-4


def test_circular_blur_keeps_the_mean_and_commutes_with_shifts():
    D, x = Blur(SIZE, 5, 7, 1.0), images()
    assert torch.allclose(D(x, 5).mean((2, 3)), x.mean((2, 3)), rtol=0, atol=1e-6)
    assert torch.allclose(D(x.roll((3, -2), (2, 3)), 5), D(x, 5).roll((3, -2), (2, 3)), rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------ inverses


def fourier_gain(size, t, kernel, std):
    """The t-step circular blur's gain at each two-dimensional frequency, from the transform of its taps."""
    line = torch.zeros(size, dtype=torch.float64)
    for j, weight in enumerate(helpers.gaussian(kernel, std)):
        line[(j - kernel // 2) % size] += weight
    one = torch.fft.fft(line).real ** t
    return one[:, None] * one[None, :]


@pytest.mark.parametrize("eps", [2e-6, 4e-3, 0.3])
@pytest.mark.parametrize("t", [0, 1, 4, 20])
def test_the_inverse_of_circular_blur_is_the_fourier_formula(t, eps):
    # |g| / (g^2 + eps^2) acts on singular directions; for the symmetric circular blur those are the frequencies.
    D = Blur(32, 20, 5, 0.8)
    x = images(2, 2, 32, dtype=torch.float64, seed=7) * 0.01  # small, so that nothing is clamped
    blurred = D(x, t)
    g = fourier_gain(32, t, 5, 0.8)
    expected = torch.fft.ifft2(torch.fft.fft2(blurred) * g / (g**2 + eps**2)).real
    assert expected.abs().max() < 3
    assert torch.allclose(D.inverse(blurred, t, eps), expected, rtol=0, atol=1e-9)


def test_the_inverse_takes_each_image_with_its_own_t_and_eps():
    D, x = Blur(32, 20, 5, 0.8), images(4, 1, 32, dtype=torch.float64) * 0.01
    t, eps = torch.tensor([0, 3, 20, 9]), torch.tensor([2e-6, 4e-3, 0.3, 4e-3], dtype=torch.float64)
    blurred = D(x, t)
    together = D.inverse(blurred, t, eps)
    for i in range(4):
        alone = D.inverse(blurred[i : i + 1], int(t[i]), float(eps[i]))
        assert torch.allclose(together[i : i + 1], alone, rtol=0, atol=1e-10)
        one, many = D.inverse(blurred[i : i + 1], int(t[i]), 4e-3), D.inverse(blurred, t, 4e-3)
        assert torch.allclose(many[i : i + 1], one, rtol=0, atol=1e-10)


INVERTIBLE = [name for name in CASES if case(name).inverse(images(), 1) is not None]


def drawn(D, x):
    """One latent for images x, always the same; None where D has none."""
    return D.draw(x, torch.Generator().manual_seed(0)) if D.needs_z else None


def test_which_degradations_have_an_inverse():
    linear = {type(case(name)) for name in INVERTIBLE}
    assert linear >= {Blur, Pixelate, Mask, Desaturate}
    for name in set(CASES) - set(INVERTIBLE):
        D = case(name)
        assert (D.needs_z and not D.blind) or isinstance(D, Compose), name  # where z is unknown nothing is inverted
        assert D.inverse(images(), torch.tensor([0, 1, D.T, D.T]), 4e-3) is None
    assert {type(case(name)) for name in INVERTIBLE if case(name).needs_z} == {Mask, Fade}  # which show their z


@pytest.mark.parametrize("name", INVERTIBLE)
def test_the_inverse_inverts_what_is_still_there(name):
    D = case(name)
    for dtype, atol in ((torch.float64, 1e-5), (torch.float32, 1e-4)):
        x = images(dtype=dtype)
        z = drawn(D, x)
        x0 = D.inverse(x, 0, z=z)
        assert torch.allclose(x0, x, rtol=0, atol=1e-5)  # D_0 is the identity
        assert x0.dtype == dtype
        for t in (1, D.T, torch.tensor([0, 1, D.T - 1, D.T])):
            y = D(x, t, z)
            back = D.inverse(y, t, z=z)
            assert back.shape == x.shape
            assert back.abs().max() <= 3
            # What D_t kept comes back: blurring the inverse gives the blurred image again (unless it was clamped).
            unclamped = (back.abs() < 3).flatten(1).all(1)
            again = D(back, t, z)
            assert torch.allclose(again[unclamped], y[unclamped], rtol=0, atol=max(atol, 1e-4))
    none = D.inverse(D(images(), 1, z.float() if isinstance(D, Fade) else z), 1, 1e3, z)
    assert torch.allclose(none, torch.zeros(()), atol=2e-3) or isinstance(D, Desaturate)


def test_the_inverse_recovers_the_image_where_no_gain_is_small():
    D, x = Blur(SIZE, 3, 3, 0.45), images(dtype=torch.float64)
    gains = torch.linalg.svdvals(D.exact["A"][3])
    assert gains.min() ** 2 > 0.05
    assert torch.allclose(D.inverse(D(x, 3), 3), x, rtol=0, atol=1e-8)
    mask = Mask(SIZE, 3, 0.1, 1, centre="centred")
    inside = helpers.mask_factor(SIZE, 3, 0.1, 1, SIZE // 2 - 1, SIZE // 2 - 1) > 0.05
    assert torch.allclose((mask.inverse(mask(x, 3), 3) - x)[..., inside], torch.zeros((), dtype=x.dtype), atol=1e-8)
    assert (mask.inverse(mask(x, 3), 3)[..., ~inside] == 0).any()  # a pixel of which nothing is left stays grey
    grey = Desaturate(T=4)
    assert torch.allclose(grey.inverse(grey(x, 3), 3), x, rtol=0, atol=1e-9)


def test_the_inverse_is_clamped_to_three():
    D = Blur(32)
    y = images(2, 1, 32) * 0.5  # no blurred image: its inverse is enormous
    back = D.inverse(y, 20)
    assert back.max() == 3
    assert back.min() == -3
    for other in (Mask(32, 50, centre="centred"), Desaturate()):
        high = other.inverse(images(2, 3, 32), other.T - 1, 1e-9)
        assert high.abs().max() <= 3
        assert high.abs().max() > 2.9


@pytest.mark.parametrize("name", INVERTIBLE)
def test_the_inverse_works_in_full_precision_and_in_any_kind(name):
    D = case(name)
    t = torch.tensor([0, 1, D.T - 1, D.T])
    y = D(images(), t, drawn(D, images()))
    plain = D.inverse(y, t, 4e-3)  # z, where there is one, is read off y
    with torch.autocast("cpu", torch.bfloat16):
        assert same_bits(D.inverse(y, t, 4e-3), plain)
    for dtype in (torch.float16, torch.bfloat16):
        assert D.inverse(y.to(dtype), t, 4e-3).dtype == dtype


@pytest.mark.parametrize("name", INVERTIBLE)
def test_an_inverse_first_asked_for_in_inference_mode_still_has_gradients_later(name):
    D, z = CASES[name](), drawn(case(name), images())
    y = case(name)(images(), 1, z)
    with torch.inference_mode():
        D.inverse(y, 1)
    y = y.clone().requires_grad_()
    D.inverse(y, 1).sum().backward()
    assert y.grad.abs().max() > 0


# ------------------------------------------------------------------------------------------- latents of the random ones


def test_masks_may_lie_anywhere_and_one_pixel_outside():
    D = Mask(8)
    z = D.draw(torch.zeros(4000, 1, 8, 8), torch.Generator().manual_seed(0))
    assert z.shape == (4000, 2)
    assert z.dtype == torch.long
    for axis in range(2):
        counts = torch.bincount(z[:, axis] + 1, minlength=9)
        assert len(counts) == 9  # -1..7
        assert counts.min() > 4000 / 9 * 0.75  # uniform
    assert (z[:, 0] != z[:, 1]).any()
    hole = D(torch.ones(1, 1, 8, 8), 50, torch.tensor([[2, 5]]))[0, 0]
    assert hole[2, 5] == 0 == hole.min()
    assert hole[5, 2] > hole[2, 5]


def test_colours_are_uniform_between_minus_and_plus_one_half():
    z = Fade(8, 5).draw(torch.zeros(4000, 3, 8, 8), torch.Generator().manual_seed(0))
    assert z.shape == (4000, 3)
    assert z.min() >= -0.5
    assert z.max() < 0.5
    assert z.min() < -0.49
    assert z.max() > 0.49
    assert abs(z.mean().item()) < 0.01
    assert len(z.unique()) > 10_000  # one per image and channel


def test_noise_is_standard_normal():
    z = Noise().draw(torch.zeros(50, 3, 16, 16), torch.Generator().manual_seed(0))
    assert z.shape == (50, 3, 16, 16)
    assert abs(z.mean().item()) < 0.02
    assert abs(z.std().item() - 1) < 0.02


def test_animorph_pairs_each_image_with_another_one_of_the_batch():
    x, seen = images(5), set()
    for seed in range(20):
        z = draw(Animorph(), x, seed)
        partners = [next(j for j in range(5) if torch.equal(z[i], x[j])) for i in range(5)]
        assert sorted(partners) == list(range(5))
        assert all(i != j for i, j in enumerate(partners))
        seen.add(tuple(partners))
    assert len(seen) == 4  # every shift


@pytest.mark.parametrize("level", [1, 3])
def test_snow_falls_differently_on_each_image_in_either_direction(level):
    D = Snow(32, level=level)
    field, vertical = draw(D, torch.zeros(200, 3, 32, 32))
    assert field.shape == (200, 32, 32)
    assert vertical.shape == (200,)
    assert vertical.dtype == torch.bool
    assert 70 < vertical.sum() < 130
    assert len(field[:, 0, 0].unique()) == 200
    mean = {1: 0.1, 3: 0.55}[level]
    assert abs(field.mean().item() - mean) < 0.01
    # Neighbouring pixels share flakes (zoomed), far ones do not.
    centred = field - mean
    near = (centred[:, :, 1:] * centred[:, :, :-1]).mean() / centred.square().mean()
    far = (centred[:, :, 8:] * centred[:, :, :-8]).mean() / centred.square().mean()
    assert near > 0.6
    assert abs(far) < 0.1


def test_infer_finds_the_noise_that_leads_from_the_prediction_to_the_state():
    for D in (Noise(T=20), Animorph(T=20)):
        x0, x = images(dtype=torch.float64), images(dtype=torch.float64, seed=5)
        for t in (1, 10, 20, torch.tensor([1, 5, 19, 20])):
            z = D.infer(x, x0, t)
            assert torch.allclose(D(x0, t, z), x, rtol=0, atol=1e-12)


# -------------------------------------------------------------------------------------------------------- compositions


def test_compose_applies_its_parts_in_order_each_on_its_own_clock():
    a, b = Blur(SIZE, 10, 5, 1.0, padding="zero"), Mask(SIZE, 20, 0.2, 1)
    D, x = Compose((a, b)), images()
    assert D.T == 20
    assert D.size == SIZE
    assert D.needs_z
    z = draw(D, x)
    assert z[0] is None
    for t in (0, 1, 2, 7, 19, 20):
        assert torch.allclose(D(x, t, z), b(a(x, t // 2), t, z[1]), rtol=0, atol=1e-6)
    swapped = Compose((b, a))
    assert rms(swapped(x, 20, (z[1], None)) - D(x, 20, z)) > 1e-2
    assert torch.equal(D(x, torch.tensor([0, 1, 5, 20]), z)[3], D(x, 20, z)[3])


def test_compose_checks_its_parts():
    with pytest.raises(ColdlabError, match="colour"):
        Compose((Blur(SIZE), Desaturate()))(images(channels=1), 1)
    with pytest.raises(ColdlabError, match=r"Mask is random and needs z"):
        Compose((Blur(SIZE), Mask(SIZE)))(images(), 1, (None, None))
    with pytest.raises(ColdlabError):
        Compose((Blur(SIZE), Mask(SIZE)))(images(), 1, (None,))
    with pytest.raises(ColdlabError, match="32"):
        Compose((Blur(SIZE), Blur(32)))(images(), 1)


# ------------------------------------------------------------------------------------------------------- rectangles


RECTANGLES = {
    "blur": dict(T=6, std=2.0),
    "blur, reflect": dict(T=6, std=2.0, padding="reflect"),
    "blur, zero": dict(T=6, std=2.0, padding="zero"),
    "pixelate": dict(T=2),
    "mask": dict(T=6),
    "fade": dict(T=6),
}


@pytest.mark.parametrize("name", RECTANGLES)
def test_rectangles_are_degraded_as_the_squares_they_are_cut_from(name):
    """A wide image: what D does to it agrees with what it does to a square where borders are far, and is inverted."""
    short, options = name.partition(",")[0], RECTANGLES[name]
    x = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    D, tall = make(short, (24, 40), **options), make(short, (40, 24), **options)
    z = D.draw(x, torch.Generator().manual_seed(1)) if D.needs_z else None
    flipped = z.flip(1) if short == "mask" else z
    for t in (0, 1, D.T):
        there = D(x, t, z)
        assert there.shape == x.shape
        assert torch.equal(there, x) is (t == 0)
        assert torch.allclose(tall(x.mT, t, flipped).mT, there, atol=1e-12)
    mixed = D(x, torch.tensor([0, D.T]), z)
    assert torch.equal(mixed[:1], x[:1])
    assert torch.allclose(mixed[1], D(x, D.T, z)[1], atol=1e-12)
    back = D.inverse(D(x, 1, z), 1, z=z)
    assert rms(D(back, 1, z) - D(x, 1, z)) < 0.05
    with pytest.raises(ColdlabError, match=r"\(B, C, 24, 40\)"):
        D(x.mT.contiguous(), 1, flipped)


@pytest.mark.parametrize("padding", ["circular", "reflect"])
def test_large_blurs_by_waves_are_the_small_ones_by_matrices(padding, monkeypatch):
    x = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    options = dict(T=6, kernel=7, std=2.0, padding=padding)
    by_matrices = Blur((24, 40), **options)
    monkeypatch.setattr("coldlab.degradations.family.LARGE", 16)
    by_waves = Blur((24, 40), **options)
    assert by_waves.waves
    assert not by_matrices.waves
    for t in (0, 1, 6, torch.tensor([0, 3])):
        assert torch.allclose(by_waves(x, t), by_matrices(x, t), atol=1e-12)
    assert torch.equal(by_waves(x, 0), x)
    assert torch.equal(by_waves(x, torch.tensor([0, 3]))[0], x[0])
    back = by_waves.inverse(by_matrices(x, 1), 1)
    assert (back - by_matrices.inverse(by_matrices(x, 1), 1))[
        ..., 6:-6, 6:-6
    ].abs().max() < 0.01  # at a mirror the two damp otherwise
    assert rms(by_waves(back, 1) - by_matrices(x, 1)) < 1e-3


def test_a_large_blur_keeps_no_table_of_matrices():
    D = Blur((300, 420), T=50, schedule="special_6", padding="reflect")
    kept = sum(table.numel() for table in D.exact.values())
    assert kept < 3 * (300**2 + 420**2)


def test_the_hole_of_a_rectangle_is_found():
    x = torch.rand(20, 3, 24, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    D = Mask((24, 40))
    z = D.draw(x, torch.Generator().manual_seed(1))
    assert z[:, 0].max() < 24 <= z[:, 1].max()
    assert torch.equal(D.infer(D(x, D.T, z), None, D.T), z)


def test_snow_is_square_and_says_so():
    with pytest.raises(ColdlabError, match="squares"):
        Snow((24, 40))


def test_a_name_that_cannot_be_asked_for_or_is_the_package_s_own_is_refused():
    with pytest.raises(ColdlabError, match="a plus joins two"):
        register("mine+blur")
    with pytest.raises(ColdlabError, match="'blur' is the package's Blur"):
        register("blur")(type("Mine", (Degradation,), {}))
    assert REGISTRY["blur"] is Blur


def test_slips_in_a_class_of_one_s_own_get_one_sentence():
    class Plain(Degradation):
        T = 4

    @dataclass
    class Compared(Degradation):
        T: int = 4

    for kind in (Plain, Compared):
        with pytest.raises(ColdlabError, match=rf"{kind.__name__} has to be a dataclass: write @dataclass\(eq=False\)"):
            register("slip")(kind)
    assert "slip" not in REGISTRY

    @dataclass(eq=False)
    class Early(Degradation):
        T: int = 4

        def __post_init__(self):
            self.table("a", torch.ones(5))

    @dataclass(eq=False)
    class Short(Degradation):
        T: int = 4

        def __post_init__(self):
            super().__post_init__()
            self.table("a", torch.ones(self.T))

    with pytest.raises(ColdlabError, match=r"Early has to call super\(\).__post_init__\(\)"):
        Early()
    with pytest.raises(ColdlabError, match="Short's table 'a' has 4 entries; it needs 5, one for each t from 0 to T"):
        Short()


def test_what_a_class_of_one_s_own_lacks_is_said_where_it_is_defined():
    def degrade(self, x0, t, z):
        return x0

    lacks = {
        "size: int": ({"T": 5}, {"T": int}, {"degrade": degrade}),
        "degrade(self, x0, t, z)": ({}, {"size": int}, {}),
        "draw(self, x0, generator=None)": ({}, {"size": int}, {"degrade": degrade, "needs_z": True}),
        "infer(self, x, x0_hat, t)": ({}, {"size": int}, {"degrade": degrade, "blind": True}),
    }
    for words, (defaults, types, written) in lacks.items():
        cls = dataclass(eq=False)(type("Own", (Degradation,), {"__annotations__": types} | defaults | written))
        with pytest.raises(ColdlabError, match=r"^Own has .*" + re.escape(words)):
            register("own")(cls)
    assert "own" not in REGISTRY


def test_slips_inside_a_class_of_one_s_own_are_named():
    @dataclass(eq=False)
    class Own(Degradation):
        size: int
        T: int = 4
        wide = 3

        def __post_init__(self):
            super().__post_init__()
            self.table("a", torch.ones(5))

        def degrade(self, x0, t, z):
            return x0 * self.at("b", t, x0) if z is None else x0[None]

    x = torch.zeros(2, 1, 8, 8)
    with pytest.raises(ColdlabError, match="unknown table of Own 'b'"):
        Own(8)(x, 1)
    with pytest.raises(ColdlabError, match=r"Own made of \(2, 1, 8, 8\) a degraded \(1, 2, 1, 8, 8\)"):
        Own(8)(x, 1, torch.zeros(2))
    with pytest.raises(ColdlabError, match=r"severity 2\.5; it has to be a whole number"):
        evenly(2.5, 2)
    try:
        register("own")(Own)
        with pytest.raises(ColdlabError, match=r"wide of own has no type, .* wide: int = \.\.\. there"):
            make("own", 8, wide=4)
    finally:
        REGISTRY.pop("own")


def test_restore_says_what_a_random_class_of_one_s_own_lacks():
    from coldlab.lab import looks

    class Silent(Degradation):
        needs_z = True

    class Reading(Silent):
        def infer(self, x, x0_hat, t): ...

    class Blind(Reading):
        blind = True

    for kind, words in ((Silent, "mine is random and a.png .*--sampler direct"), (Reading, "set blind = True")):
        with pytest.raises(ColdlabError, match=words):
            looks.check_told("a.png", kind, "mine")
    for told in (Blind, Mask(16), Blur(16)):
        looks.check_told("a.png", told, "mine")
    with pytest.raises(ColdlabError, match="only --degrade can be undone"):
        looks.check_told("a.png", make("noise", 16), "noise")


def test_a_degradation_of_one_s_own_is_known_once_it_is_imported(tmp_path):
    """Also where a network that was trained on it is loaded: its file is not called a foreign one."""
    from coldlab import checkpoints
    from coldlab.training import Config, start

    config = Config(degradation="blur", size=16, channels=1, width=8, mults=(1,))
    _, state = start(config)
    path = tmp_path / "model.safetensors"
    checkpoints.save_weights(path, state.ema, dataclasses.replace(config, degradation="swirl"))
    for load in (lambda: make("swirl", 16), lambda: checkpoints.load_weights(path)):
        with pytest.raises(ColdlabError, match=r"unknown degradation 'swirl'.* of your own is known once") as told:
            load()
        assert "no coldlab file" not in str(told.value)
