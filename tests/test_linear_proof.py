"""Every statement of chapter 5, each with a test that would fail if it were false, and with its false relatives.

Notation as in the chapter: D_s = D(., s, z), one step of a sampler goes from s to r, the increment is D_s - D_r.
"""

from itertools import pairwise

import helpers
import pytest
import torch
from helpers import CASES, case, draw, images, rms
from hypothesis import HealthCheck, assume, find, given, settings
from hypothesis import strategies as st

from coldlab import ColdlabError
from coldlab.degradations import Blur, Degradation, Desaturate, Fade, Mask, Noise, Pixelate, make
from coldlab.linear_proof import check_affine, error_law, linear_part, repeated, white_fraction
from coldlab.presets import PRESETS
from coldlab.sampling import evenly, improved, naive

SETTINGS = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
SNOWY = {name for name in CASES if "snow" in name or name == "compose-nested"}  # the only ones that clip
AFFINE = sorted(set(CASES) - SNOWY)
EXACT = 1e-12  # float64, values of order 1


class AnyD(Degradation):
    """D_s(x) = B_s x + c_s + curve_s(x) on images of n pixels, (B, 1, 1, n): everything at will, D_0 the identity."""

    needs_z = False

    def __init__(self, n, T, seed, B=True, c=True, curve=0.0):
        torch.nn.Module.__init__(self)
        generator = torch.Generator().manual_seed(seed)
        self.T, self.curve = T, curve
        self.B = torch.eye(n, dtype=torch.float64).repeat(T + 1, 1, 1)
        self.B[1:] += B * torch.randn(T, n, n, generator=generator, dtype=torch.float64) / n
        self.c = c * torch.randn(T + 1, n, generator=generator, dtype=torch.float64)
        self.c[0] = 0

    def degrade(self, x, t, z):
        return x @ self.B[t].mT + self.c[t] + self.curve * t * torch.sin(3 * x)


def random_R(seed, scale=1.0):
    """Any R at all: it looks at the state in a crooked way, at the severity, and at dice."""
    generator = torch.Generator().manual_seed(seed)

    def R(x, s):
        dice = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return scale * (dice + torch.tanh(x.flip(-1)) - 0.1 * s % 1 + 0.5)

    return R


def watched(sampler, R, D, x0, z=None, severities=None, start=0.0):
    """Run a sampler from D(x0, T) + start: its states {r: x_r} and R's errors {s: e_s} in that very run."""
    steps = list(range(D.T, -1, -1)) if severities is None else list(severities)
    x, states, errors = D(x0, steps[0], z) + start, {}, {}
    for (s, _), (r, x_r, p) in zip(pairwise(steps), sampler(R, D, x, z, steps), strict=True):
        states[r], errors[s] = x_r, p - x0
    return states, errors


def paths(T):
    """Strictly descending severities from T to 0."""
    return st.sets(st.integers(1, max(1, T - 1))).map(lambda some: sorted({T, 0} | {s for s in some if s < T})[::-1])


# ------------------------------------------------------------------------------------------- the identity for every D


@pytest.mark.parametrize("name", CASES)
def test_the_identity_holds_for_every_degradation(name):
    """Algorithm 2 errs by n + sum [inc_s(x0) - inc_s(p_s)], linear or not; Algorithm 1 ends in R's last word."""
    D, x0 = case(name), images(3, dtype=torch.float64)
    z, n = draw(D, x0), 0.3 * images(3, dtype=torch.float64, seed=5)
    for path in (None, sorted({D.T, D.T // 2, 1, 0})[::-1]):
        states, errors = watched(improved, random_R(1), D, x0, z, path, n)
        steps = list(range(D.T, -1, -1)) if path is None else path

        def inc(x, s, r):
            return D(x, s, z) - D(x, r, z)

        total = n + sum(inc(x0, s, r) - inc(x0 + errors[s], s, r) for s, r in pairwise(steps))
        assert torch.allclose(states[0] - x0, total, rtol=0, atol=1e-11)
        states, errors = watched(naive, random_R(1), D, x0, z, path, n)
        assert torch.equal(states[0] - x0, errors[steps[-2]])


# ------------------------------------------------------------------------------------------ theorem 1: whatever R says


@SETTINGS
@given(n=st.integers(1, 6), T=st.integers(1, 8), seed=st.integers(0, 9999), data=st.data())
def test_theorem_1_an_increment_that_does_not_depend_on_x_suffices(n, T, seed, data):
    D, path = AnyD(n, T, seed, B=False), data.draw(paths(T))
    x0 = images(2, 1, n, torch.float64, seed)[:, :, :1]
    states, _ = watched(improved, random_R(seed, 10), D, x0, severities=path)
    assert torch.allclose(states[0], x0, rtol=0, atol=1e-10)


@SETTINGS
@given(
    n=st.integers(1, 6),
    T=st.integers(1, 8),
    seed=st.integers(0, 9999),
    curve=st.sampled_from([0.0, 0.4]),
    linear=st.booleans(),
    data=st.data(),
)
def test_theorem_1_it_is_necessary_and_the_proof_names_the_R(n, T, seed, curve, linear, data):
    """Let R tell the truth but at severity s, where it says y: the end is off by inc_s(x0) - inc_s(y), all of it."""
    assume(linear or curve)
    D, path = AnyD(n, T, seed, B=linear, curve=curve), data.draw(paths(T))
    x0, y = (images(1, 1, n, torch.float64, k)[:, :, :1] for k in (seed, seed + 1))
    k = data.draw(st.integers(0, len(path) - 2))
    s, r = path[k], path[k + 1]
    states, _ = watched(improved, lambda x, now: y if now == s else x0, D, x0, severities=path)

    def inc(x):
        return D(x, s) - D(x, r)

    assert torch.allclose(states[0] - x0, inc(x0) - inc(y), rtol=0, atol=1e-11)
    moved = (inc(x0) - inc(y)).abs().max() > 1e-6
    assume(moved)  # nearly always
    assert (states[0] - x0).abs().max() > 1e-7


def test_theorem_1_a_search_finds_the_R_that_breaks_a_real_blur():
    """'Regardless of R' for the paper's blur of MNIST: hypothesis finds a liar, and shrinks it to one step."""
    D, x0 = Blur(16), images(1, 1, dtype=torch.float64)

    def broken(lies):
        def R(x, s):
            return x0 + lies.get(s, 0)

        *_, (_, x, _) = improved(R, D, D(x0, D.T))
        return (x - x0).abs().max().item() > 0.1

    lies = st.dictionaries(st.integers(1, D.T), st.integers(-2, 2).map(lambda v: v * images(1, 1, seed=3).double()))
    found = find(lies, broken, settings=settings(derandomize=True, database=None, max_examples=500))
    assert len(found) == 1  # one false prediction is enough
    drift = AnyD(16, 5, 0, B=False)  # and where the theorem forbids it, the same search comes back with nothing
    some = images(1, 1, dtype=torch.float64)

    @settings(derandomize=True, database=None, max_examples=100, deadline=None)
    @given(lies)
    def never(lies):
        *_, (_, x, _) = improved(lambda x, s: some + lies.get(s, 0), drift, drift(some, 5))
        assert (x - some).abs().max() < 1e-10

    never()


def test_theorem_1_restricted_to_what_R_can_say():
    """R that says nothing but flat images: the increments of a circular blur are constant (0) on those, and all ends
    agree. They agree on x_T, not on x0, which no such R can say."""
    D, x0 = Blur(16), images(2, 1, dtype=torch.float64)

    def flat(seed):
        return lambda x, s: torch.full_like(x, 0.0) + torch.sin(torch.tensor(seed + s).double())

    ends = [watched(improved, flat(seed), D, x0)[0][0] for seed in range(3)]
    assert all(torch.allclose(end, D(x0, D.T), rtol=0, atol=EXACT) for end in ends)
    assert rms(ends[0] - x0) > 0.3
    once = watched(improved, lambda x, s: x0 if s == 3 else flat(0)(x, s), D, x0)[0][0]
    assert rms(once - ends[0]) > 1e-3  # one prediction that is not flat, and the ends differ


def test_corollary_for_affine_D_only_B_equal_to_the_identity_will_do():
    x0 = images(2, dtype=torch.float64)
    for name in AFFINE:
        D = case(name)
        z = draw(D, x0)
        B_is_I = all(torch.allclose(linear_part(D, x0, t, z), x0, rtol=0, atol=1e-9) for t in range(D.T + 1))
        one, two = (watched(improved, random_R(seed), D, x0, z)[0][0] for seed in (0, 1))
        assert not B_is_I, name
        assert rms(one - two) > 1e-2, name


# ------------------------------------------------------------------------------------------- theorem 2: the error laws


def test_the_classes_that_the_chapter_names():
    """Linear given z: blur, pixelate, mask, desaturate. Affine: fade, noise, animorph. Neither: snow, for its clip."""
    kinds = {}
    for name in set(CASES) - {"compose", "compose-named"}:
        D, x, y = case(name), images(4, dtype=torch.float64), images(4, dtype=torch.float64, seed=9)
        z, kind = draw(D, x), "linear"
        for t in helpers.severities(D)[1:]:
            mid = D((x + y) / 2, t, z) - (D(x, t, z) + D(y, t, z)) / 2
            zero = D(torch.zeros_like(x), t, z)
            kind = "neither" if mid.abs().max() > 1e-9 else "affine" if zero.abs().max() > 1e-9 else kind
            if kind == "neither":
                break
        kinds[name] = kind
    expected = {"Blur": "linear", "Pixelate": "linear", "Mask": "linear", "Desaturate": "linear", "Snow": "neither"}
    expected |= {"Fade": "affine", "Noise": "affine", "Animorph": "affine"}
    for name, kind in kinds.items():
        part = type(case(name)).__name__
        if part != "Compose":
            assert kind == expected[part], name
    assert {name for name, kind in kinds.items() if kind == "neither"} == SNOWY


@pytest.mark.parametrize("name", AFFINE)
def test_theorem_2_for_every_affine_degradation_and_any_R(name):
    D, x0 = case(name), images(3, dtype=torch.float64)
    z, n = draw(D, x0), 0.3 * images(3, dtype=torch.float64, seed=5)
    for path in (None, sorted({D.T, D.T // 2, D.T // 3, 1, 0})[::-1]):
        for k, sampler in enumerate((naive, improved)):
            states, errors = watched(sampler, random_R(7), D, x0, z, path, n)
            law = {r: found[k] for r, *found in error_law(D, errors, path, z, n)}
            assert law.keys() == states.keys()
            for r, x in states.items():  # on the whole way, not at the end alone
                assert torch.allclose(x - D(x0, r, z), law[r], rtol=0, atol=EXACT * (1 + len(states))), r
            if sampler is naive:
                assert torch.allclose(law[0], errors[min(errors)], rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", AFFINE)
def test_theorem_2_with_a_false_sign_or_shifted_by_one_is_rejected(name):
    D, x0 = case(name), images(3, dtype=torch.float64)
    z = draw(D, x0)
    states, e = watched(improved, random_R(7), D, x0, z)

    def B(t, s):
        return linear_part(D, e[s], t, z)

    steps = range(D.T, 0, -1)
    right = sum(B(s - 1, s) - B(s, s) for s in steps)
    false_sign = sum(B(s, s) - B(s - 1, s) for s in steps)
    shifted = sum(B(s - 1, max(s - 1, 1)) - B(s, max(s - 1, 1)) for s in steps)  # the error of the next prediction
    off = states[0] - x0
    assert torch.allclose(off, right, rtol=0, atol=EXACT * (1 + D.T))
    assert rms(off - false_sign) > 0.1 * rms(off) > 1e-3
    assert D.T == 1 or rms(off - shifted) > 1e-3


@SETTINGS
@given(n=st.integers(1, 6), T=st.integers(1, 9), seed=st.integers(0, 9999), data=st.data())
def test_theorem_2_for_any_affine_D_any_path_any_R(n, T, seed, data):
    D, path = AnyD(n, T, seed), data.draw(paths(T))
    x0 = images(2, 1, n, torch.float64, seed)[:, :, :1]
    start = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    states, e = watched(improved, random_R(seed), D, x0, severities=path, start=start)
    by_hand = start + sum(e[s] @ (D.B[r] - D.B[s]).mT for s, r in pairwise(path))
    *_, (_, _, law) = error_law(D, e, path, start=start)
    assert torch.allclose(law, by_hand, rtol=0, atol=1e-11)
    assert torch.allclose(states[0] - x0, by_hand, rtol=0, atol=1e-11)


def test_the_law_says_no_to_what_is_not_affine():
    D, x0 = make("snow", 16), images(3, dtype=torch.float64)
    z = draw(D, x0)
    with pytest.raises(ColdlabError, match="Snow is not affine"):
        next(error_law(D, {D.T: x0}, [D.T, 0], z))
    with pytest.raises(ColdlabError, match="not affine"):
        check_affine(AnyD(16, 3, 0, curve=0.5), x0, [3])
    with pytest.raises(ColdlabError, match="severities"):
        next(error_law(D, {}, [3, 5, 0], z))


class Clipped(torch.nn.Module):
    """D, kept in [-1, 1] at every severity like an image file."""

    def __init__(self, D):
        super().__init__()
        self.D, self.T = D, D.T

    def forward(self, x, t, z=None):
        return self.D(x, t, z).clamp(-1, 1)


def test_the_law_looks_at_every_severity_of_the_run():
    """At T the noise has swallowed the image and a clip of it is a constant, which is affine; below T it is not."""
    D, x0 = Clipped(Noise(T=200)), images(3, dtype=torch.float64)
    z = draw(D.D, x0)
    check_affine(D, x0, [200], z)  # what looking at T alone finds: nothing
    states, e = watched(improved, random_R(3), D, x0, z)
    law = sum(linear_part(D, e[s], s - 1, z) - linear_part(D, e[s], s, z) for s in e)
    assert rms(states[0] - x0 - law) > 0.1  # what passed for a law while nobody looked below T
    with pytest.raises(ColdlabError, match=r"Clipped is not affine in the image at severity 199 \(off by"):
        next(error_law(D, e, z=z))
    with pytest.raises(ColdlabError, match="Clipped is not affine in the image at severity 100"):
        next(error_law(D, e, [200, 100, 0], z))
    with pytest.raises(ColdlabError, match="Clipped is not affine"):
        white_fraction(D, (1, 4, 4), z=torch.full((1, 1, 4, 4), 2.0, dtype=torch.float64))  # at T all are clipped to 1


@pytest.mark.parametrize("bent", [1, 2, 3, 4])
def test_one_bent_severity_is_found_if_it_is_on_the_path(bent):
    class Bent(AnyD):
        def degrade(self, x, t, z):
            return super().degrade(x, t, z) + (t == bent) * 0.01 * x**2

    D, x0 = Bent(16, 4, 0), images(3, 1, dtype=torch.float64)
    e = dict.fromkeys(range(1, 5), x0)
    with pytest.raises(ColdlabError, match=f"Bent is not affine in the image at severity {bent} "):
        next(error_law(D, e))
    path = [t for t in (4, 3, 2, 1, 0) if t != bent]
    list(error_law(D, e, path))  # a path around it is as good as ever


def test_the_law_says_no_where_D_0_is_not_the_identity():
    class Late(AnyD):
        def degrade(self, x, t, z):
            return super().degrade(x, t, z) + 0.001

    x0 = images(3, 1, dtype=torch.float64)
    with pytest.raises(ColdlabError, match=r"Late is not the identity at severity 0 \(off by 0\.001\)"):
        next(error_law(Late(16, 3, 0), dict.fromkeys(range(1, 4), x0)))


def test_the_tolerance_lets_rounding_pass_and_nothing_else():
    x0 = images(3, 1)  # float32
    check_affine(Blur(16), x0, range(21))
    check_affine(AnyD(16, 3, 0, curve=1e-6), x0.double(), [3, 2, 1])
    with pytest.raises(ColdlabError, match="not affine"):
        check_affine(AnyD(16, 3, 0, curve=1e-3), x0.double(), [3])
    nan = torch.nn.Module()
    nan.T, nan.forward = 3, lambda x, t, z=None: x if t == 0 else x * float("nan")
    with pytest.raises(ColdlabError, match="severity 3"):
        check_affine(nan, x0, [3])


# ------------------------------------------------------------------------------------------------- what the laws imply


@pytest.mark.parametrize("name", AFFINE)
def test_a_wrong_start_and_an_error_that_repeats_itself(name):
    """The same e in every step passes as (I - B_T) e; an n in x_T is added whole, if R does not react to it."""
    D, x0, e = case(name), images(3, dtype=torch.float64), images(3, dtype=torch.float64, seed=4)
    z, n = draw(D, x0), images(3, dtype=torch.float64, seed=5)

    def stubborn(x, s):
        return x0 + e

    for path in (None, [D.T, 0], [D.T, 1, 0] if D.T > 1 else None):
        plain, shifted = (watched(improved, stubborn, D, x0, z, path, start)[0][0] for start in (0.0, n))
        assert torch.allclose(plain - x0, e - linear_part(D, e, D.T, z), rtol=0, atol=EXACT * (1 + D.T))
        assert torch.allclose(shifted - plain, n, rtol=0, atol=EXACT * (1 + D.T))


@SETTINGS
@given(T=st.integers(2, 12), seed=st.integers(0, 999), k=st.integers(1, 11))
def test_each_band_comes_from_the_step_that_gives_it_back(T, seed, k):
    """R says a down to severity k + 1 and b from k on: a's coarse part, b's detail, B_k a + (I - B_k) b."""
    D, k = Blur(16, T, 5, 1.0), min(k, T - 1)
    a, b = images(2, 1, dtype=torch.float64, seed=seed).split(1)
    states, _ = watched(improved, lambda x, s: a if s > k else b, D, a)
    assert torch.allclose(states[0], D(a, k) + b - D(b, k), rtol=0, atol=EXACT * T)
    states, _ = watched(naive, lambda x, s: a if s > k else b, D, a)
    assert torch.equal(states[0], b)


def test_a_band_is_a_weighted_mean_of_all_predictions():
    """In Fourier space: gain_T x0 + sum (gain_{s-1} - gain_s) p_s, and the weights add up to 1."""
    D, x0 = Blur(16, 9, 5, 0.8), images(1, 1, dtype=torch.float64)
    gain = torch.stack([torch.fft.fft(D.exact["A"][t][:, 0]).real for t in range(D.T + 1)])  # circular: A is diagonal
    gain = gain[:, :, None] * gain[:, None, :]
    states, e = watched(improved, random_R(3), D, x0)
    fft = torch.fft.fft2
    mean = gain[-1] * fft(x0) + sum((gain[s - 1] - gain[s]) * fft(x0 + e[s]) for s in e)
    assert torch.allclose(fft(states[0]), mean, rtol=0, atol=1e-9)
    weights = gain[:-1] - gain[1:]
    assert (weights > -1e-12).all()
    assert torch.allclose(weights.sum(0) + gain[-1], torch.ones(16, 16, dtype=torch.float64))


WHITE = {
    "blur": (lambda: Blur(16, 6, 5, 0.7), None),
    "blur-zero": (lambda: Blur(16, 12, 3, 0.5, padding="zero"), None),
    "pixelate": (lambda: Pixelate(16), None),
    "mask": (lambda: Mask(16, 20), torch.tensor([[3, 12]])),
    "noise": (lambda: Noise(T=20), torch.zeros(1, 3, 16, 16, dtype=torch.float64)),
    "fade": (lambda: Fade(16, 30, 0.25), torch.zeros(1, 3, dtype=torch.float64)),
    "desaturate": (lambda: Desaturate(T=9), None),
    "compose": (lambda: make("blur+mask", 16), (None, torch.tensor([[3, 12]]))),
}


@pytest.mark.parametrize("name", sorted(WHITE))
@pytest.mark.parametrize("calls", [None, 3])
def test_white_errors_keep_the_fraction_of_the_formula(name, calls):
    """Monte Carlo: errors of size 1, drawn anew in every step, for both algorithms."""
    build, z = WHITE[name]
    D, x0 = build(), images(200, dtype=torch.float64)
    path = None if calls is None else evenly(D.T, calls)
    many = repeated(z, 200)
    generator = torch.Generator().manual_seed(0)

    def R(x, s):
        return x0 + torch.randn(x.shape, generator=generator, dtype=x.dtype)

    states, _ = watched(improved, R, D, x0, many, path)
    fraction = white_fraction(D, (3, 16, 16), path, z)
    assert rms(states[0] - x0) == pytest.approx(fraction, rel=0.02)
    states, _ = watched(naive, R, D, x0, many, path)
    assert rms(states[0] - x0) == pytest.approx(1, rel=0.01)


def test_the_fractions_that_the_chapter_names():
    def white(name):
        return white_fraction(PRESETS[name].build(), (3, 32, 32))

    assert white("cifar10-blur") == pytest.approx(0.2668, abs=5e-5)
    assert white("mnist-blur") == pytest.approx(0.9954, abs=5e-5)
    assert white_fraction(Desaturate(T=20), (3, 1, 1)) == pytest.approx((2 / 3 / 20) ** 0.5)
    for calls in (1, 2, 3):  # nested block means: every band comes from one prediction, nothing averages
        assert white_fraction(Pixelate(16), (1, 16, 16), evenly(3, calls)) == pytest.approx((1 - 1 / 64) ** 0.5)


def test_the_short_cut_for_separable_D_is_the_general_formula():
    D = Blur(8, 5, 3, 0.8, padding="reflect")
    slow = torch.nn.Module()
    slow.T, slow.forward = D.T, lambda x, t, z=None: D(x, t)
    for path in (None, [5, 2, 0]):
        assert white_fraction(D, (2, 8, 8), path) == pytest.approx(white_fraction(slow, (2, 8, 8), path))


def test_white_fraction_wants_one_latent():
    with pytest.raises(ColdlabError, match="latent of 2 images"):
        white_fraction(Mask(16), (1, 16, 16), z=torch.zeros(2, 2, dtype=torch.long))
    D = make("snow", 16)
    z = draw(D, images(1, 1))
    with pytest.raises(ColdlabError, match="not affine"):
        white_fraction(D, (1, 16, 16), z=z)


# --------------------------------------------------------------------------------------------- where the law ends: snow


def test_snow_is_the_papers_own_case_where_nothing_is_clipped():
    """Exact in every pixel whose light does not change in a step, or is not too much for the truth and the guess."""
    D, x0 = make("snow", 16, T=20), images(4, dtype=torch.float64)
    z, R = draw(D, x0), random_R(2)
    states, e = watched(improved, lambda x, s: R(x, s).clamp(-1, 1), D, x0, z)
    light = [torch.zeros_like(x0)]
    light += [D.flakes(t, z, x0) + D.flakes(t, z, x0).rot90(2, (-2, -1)) for t in range(1, 21)]
    safe = torch.ones_like(x0, dtype=torch.bool)
    for s in e:
        room = 1 - torch.maximum(*torch.broadcast_tensors(light[s], light[s - 1]))
        fits = ((x0 + 1) / 2 <= room) & ((x0 + e[s] + 1) / 2 <= room)
        safe &= (light[s] == light[s - 1]) | fits
    off = (states[0] - x0).abs()
    assert 0.05 < safe.double().mean() < 0.95
    assert off[safe].max() < EXACT
    assert (off[~safe] > 1e-9).double().mean() > 0.9


# ------------------------------------------------------------------------------------------- the sampler as an equation


class Mix(Degradation):
    """x_t = (1 - t/T) x0 + (t/T) z: the straight line to the other end, z."""

    needs_z = True

    def __init__(self, T):
        torch.nn.Module.__init__(self)
        self.T = T

    def degrade(self, x, t, z):
        return (1 - t / self.T) * x + t / self.T * z

    def infer(self, x, p, t):
        return (x - (1 - t / self.T) * p) / (t / self.T)


@pytest.mark.parametrize(("name", "euler"), [("mix", True), ("desaturate", True), ("noise", False), ("blur", False)])
def test_algorithm_2_is_eulers_step_exactly_where_D_is_affine_in_s(name, euler):
    """The slope d D(p, s) / d s by differences within the table; for an affine s any difference is the slope."""
    D, x = (Mix(20) if name == "mix" else case(name)), images(4, dtype=torch.float64)
    z, R = (images(4, dtype=torch.float64, seed=2) if name == "mix" else draw(D, x)), random_R(4)
    _, x_r, p = next(improved(R, D, x, z, [20, 12, 0]))
    slope = D(p, 20, z) - D(p, 19, z)
    assert torch.allclose(x_r, x - 8 * slope, rtol=0, atol=1e-10) == euler


@SETTINGS
@given(T=st.integers(1, 12), seed=st.integers(0, 999), data=st.data())
def test_the_straight_line_with_estimated_end_is_indi_and_rectified_flow(T, seed, data):
    D, path = Mix(T), data.draw(paths(T))
    start = images(2, dtype=torch.float64, seed=seed)

    def R(x, s):
        return torch.tanh(x.roll(1, -1) - 0.3 * x) + 0.1 * s

    ends = [watched_end(sampler, R, D, start, D.infer, path) for sampler in (naive, improved)]
    indi, flow = start, start
    for s, r in pairwise(path):
        indi = (s - r) / s * R(indi, s) + (1 - (s - r) / s) * indi
        velocity = (flow - R(flow, s)) / (s / T)
        flow = flow + (r - s) / T * velocity
    for end in ends:
        assert torch.allclose(end, indi, rtol=0, atol=1e-10)
        assert torch.allclose(end, flow, rtol=0, atol=1e-10)
    if len(path) > 2:  # with a known end that is kept, it is another sampler
        kept = watched_end(improved, R, D, start, images(2, dtype=torch.float64, seed=seed + 1), path)
        assert rms(kept - indi) > 1e-3


def watched_end(sampler, R, D, x, z, path):
    *_, (_, x, _) = sampler(R, D, x, z, path)
    return x
