"""Both samplers: what they return for a perfect R, for a random R, for noise, and how they are called."""

from dataclasses import dataclass, field
from itertools import pairwise

import helpers
import pytest
import torch
from helpers import CASES, case, draw, images, rms
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from coldlab import ColdlabError
from coldlab.degradations import Blur, Degradation, Mask, Noise
from coldlab.sampling import evenly, improved, naive

SAMPLERS = pytest.mark.parametrize("sampler", [naive, improved])


def end(steps):
    *_, (r, x, _) = steps
    assert r == 0
    return x


# ------------------------------------------------------------------------------------------------------------ oracle R


@pytest.mark.parametrize("name", CASES)
@SAMPLERS
def test_a_perfect_R_gives_the_image_back(name, sampler):
    D, x0 = case(name), images(3)
    z = draw(D, x0)
    for stride in (None, [D.T, *sorted({D.T // 2, D.T // 3, 1} - {0, D.T}, reverse=True), 0]):
        assert torch.allclose(end(sampler(lambda x, s: x0, D, D(x0, D.T, z), z, stride)), x0, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ random R


@dataclass(eq=False)
class Drift(Degradation):
    """D(x, s) = x + s z: what it adds does not depend on x, so that Algorithm 2 cannot go wrong."""

    T: int
    needs_z: bool = field(default=True, init=False)

    def draw(self, x0, generator=None):
        return torch.randn(x0.shape, generator=generator, dtype=x0.dtype)

    def degrade(self, x0, t, z):
        t = t.reshape(-1, 1, 1, 1) if torch.is_tensor(t) else t
        return x0 + t * z.to(x0.dtype)


def random_R(seed):
    """Any function at all: unrelated noise at each call, and at times a smooth function of x."""
    generator = torch.Generator().manual_seed(seed)

    def R(x, s):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return noise + 2 if seed % 2 else noise + 2 + torch.tanh(x).flip(-1) * s

    return R


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    T=st.integers(1, 30),
    seed=st.integers(0, 2**20),
    scale=st.floats(0.01, 3),
    skip=st.booleans(),
)
@example(shape=(1, 1, 1, 1), T=1, seed=0, scale=1.0, skip=False)
def test_algorithm_2_returns_x0_whatever_R_where_the_increment_does_not_depend_on_x(shape, T, seed, scale, skip):
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
    D = Drift(T)
    z = scale * D.draw(x0, generator)
    some = torch.randint(0, T, (3,), generator=generator).tolist()
    severities = sorted({T, 0, *some}, reverse=True) if skip else None
    x_T = D(x0, T, z)
    assert torch.allclose(end(improved(random_R(seed), D, x_T, z, severities)), x0, rtol=0, atol=1e-9)
    # Algorithm 1 ends in R's last word, which has nothing to do with x0: noise about 2.
    assert rms(end(naive(random_R(seed), D, x_T, z, severities)) - x0) > (0.5 if x0.numel() > 20 else 0)


def test_algorithm_1_ends_far_from_x0_for_a_random_R():
    D, x0 = Drift(20), images(8, dtype=torch.float64)
    z = draw(D, x0)
    for seed in range(4):
        assert rms(end(naive(random_R(seed), D, D(x0, 20, z), z)) - x0) > 1
        assert rms(end(improved(random_R(seed), D, D(x0, 20, z), z)) - x0) < 1e-10


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(T=st.integers(1, 12), seed=st.integers(0, 999), padding=st.sampled_from(["circular", "reflect", "zero"]))
def test_the_error_laws_of_linear_degradations(T, seed, padding):
    """Algorithm 2 ends at x0 + sum_s (B_{s-1} - B_s) e_s, Algorithm 1 at x0 + e_1, for predictions x0 + e_s."""
    D = Blur(8, T, 3, 1.0, padding=padding)
    x0 = images(2, 1, 8, torch.float64, seed)
    e = torch.randn(T + 1, *x0.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    blurred = [helpers.blur_chain(e[s], s, 3, 1.0, "constant", padding) for s in range(T + 1)]
    law = x0 + sum(blurred[s][s - 1] - blurred[s][s] for s in range(1, T + 1))
    assert torch.allclose(end(improved(lambda x, s: x0 + e[s], D, D(x0, T))), law, rtol=0, atol=1e-10)
    assert torch.allclose(end(naive(lambda x, s: x0 + e[s], D, D(x0, T))), x0 + e[1], rtol=0, atol=1e-10)


# ------------------------------------------------------------------------------------------------------ how it is done


@SAMPLERS
@pytest.mark.parametrize("severities", [None, [20, 13, 5, 1, 0], [7, 3, 0], [1, 0], (20, 0), range(9, -1, -3)], ids=str)
def test_what_is_called_and_what_is_yielded(sampler, severities):
    D, x = Blur(16), images(2)
    wanted = list(range(20, -1, -1)) if severities is None else list(severities)
    calls = []

    def R(x, s):
        calls.append((x, s, 0.5 * x + 0.1 * s))
        return calls[-1][-1]

    steps = list(sampler(R, D, x, None, severities))
    assert [s for _, s, _ in calls] == wanted[:-1]  # the severity of R's input, from the first down, never 0
    assert [r for r, _, _ in steps] == wanted[1:]
    assert torch.equal(calls[0][0], x)
    for k, (r, x_r, x0_hat) in enumerate(steps):
        state, s, prediction = calls[k]
        assert torch.equal(x0_hat, prediction)
        expected = D(prediction, r) if sampler is naive else state - D(prediction, s) + D(prediction, r)
        assert torch.allclose(x_r, expected, rtol=0, atol=1e-6)
        if k + 1 < len(calls):
            assert torch.equal(calls[k + 1][0], x_r)  # R sees the state that was yielded


@SAMPLERS
def test_the_start_is_left_alone(sampler):
    x = images(2)
    before = x.clone()
    end(sampler(lambda x, s: 0.5 * x, Blur(16), x))
    assert torch.equal(x, before)


@SAMPLERS
def test_one_z_serves_the_whole_trajectory(sampler):
    D, x0 = Mask(16), images(2)
    z, seen = draw(D, x0), []
    D.register_forward_hook(lambda module, arguments, output: seen.append(arguments[2]))
    end(sampler(lambda x, s: x0, D, D(x0, 50, z), z))
    assert len(seen) > 50
    assert all(latent is z for latent in seen)


@SAMPLERS
def test_a_callable_z_is_given_the_state_the_prediction_and_the_severity(sampler):
    D, x, asked = Noise(T=4), images(2), []

    def estimate(x_s, x0_hat, s):
        asked.append((x_s, x0_hat, s))
        return D.infer(x_s, x0_hat, s)

    steps = list(sampler(lambda x, s: 0.5 * x, D, x, estimate))
    assert [s for _, _, s in asked] == [4, 3, 2, 1]
    states = [x, *(x_r for _, x_r, _ in steps)]
    for (x_s, x0_hat, _), state, (_, _, prediction) in zip(asked, states, steps, strict=False):
        assert torch.equal(x_s.float(), state)  # the state itself has float64
        assert torch.equal(x0_hat.float(), prediction)


@SAMPLERS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_R_gets_and_the_caller_gets_the_dtype_of_x(sampler, dtype):
    seen = []
    for _, x, x0 in sampler(lambda x, s: seen.append(x.dtype) or x, Blur(16, T=3), images(2).to(dtype)):
        assert x.dtype == x0.dtype == dtype
    assert seen == [dtype] * 3


def test_the_states_do_not_gather_the_rounding_errors_of_the_steps():
    D, x = Blur(16, T=20), images(2)
    guesses = [images(2, seed=k) for k in range(20)]
    calls = iter(guesses)
    ends = [x_r for _, x_r, _ in improved(lambda x, s: next(calls), D, x)]
    exact, rounded = x.double(), x
    for s, c in zip(range(20, 0, -1), guesses, strict=True):
        exact = exact - D(c.double(), s) + D(c.double(), s - 1)
        rounded = rounded - D(c, s) + D(c, s - 1)
        assert torch.equal(ends[20 - s], exact.float())
    assert not torch.equal(rounded, exact.float())  # what float32 states would have become


@SAMPLERS
def test_a_missing_z_raises(sampler):
    with pytest.raises(ColdlabError, match="needs z"):
        next(sampler(lambda x, s: x, Noise(T=4), images(2)))


BAD = [[], [5], [0], [5, 3], [0, 5], [5, 5, 0], [3, 4, 0], [21, 3, 0], [5, -1], [5, 0, -1], [5, 0, 0], [20.0, 10.5, 0]]


@SAMPLERS
@pytest.mark.parametrize("severities", BAD, ids=str)
def test_severities_that_do_not_descend_to_zero_raise(sampler, severities):
    with pytest.raises(ColdlabError, match=r"severities .* descend from at most T = 20 down to 0|whole number"):
        next(sampler(lambda x, s: x, Blur(16), images(2), None, severities))


@SAMPLERS
def test_no_graph_is_built_and_gradients_stay_on_for_the_caller(sampler):
    R = torch.nn.Conv2d(3, 3, 3, padding=1)
    with torch.enable_grad():
        steps = sampler(lambda x, s: R(x), Blur(16, 4), images(2))
        for _, x, x0_hat in steps:
            assert torch.is_grad_enabled()  # between the steps as well
            assert not x.requires_grad
            assert not x0_hat.requires_grad
            assert R(images(2)).requires_grad
    assert all(p.grad is None for p in R.parameters())


@given(T=st.integers(1, 400), data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_evenly_spends_a_budget_of_steps(T, data):
    steps = data.draw(st.integers(1, T))
    severities = evenly(T, steps)
    assert len(severities) == steps + 1
    assert severities[0] == T
    assert severities[-1] == 0
    gaps = [s - r for s, r in pairwise(severities)]
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1 + (T / steps != T // steps)  # as even as whole numbers allow


@pytest.mark.parametrize("steps", [0, -1, 21])
def test_a_budget_outside_1_to_T_raises(steps):
    with pytest.raises(ColdlabError, match=rf"{steps} steps.*T = 20.*1\.\.20"):
        evenly(20, steps)


# ---------------------------------------------------------------------------------------------------------------- DDIM


def ddim(R, x, T, severities):
    """Deterministic DDIM (eta = 0), written from its own formula in float64: [(r, x_r), ...]."""
    abar, x, states = helpers.alpha_bar(T), x.double(), []
    for s, r in pairwise(severities):
        x0_hat = R(x, s)
        noise = (x - abar[s] ** 0.5 * x0_hat) / (1 - abar[s]) ** 0.5
        x = abar[r] ** 0.5 * x0_hat + (1 - abar[r]) ** 0.5 * noise
        states.append((r, x))
    return states


@SAMPLERS
@pytest.mark.parametrize("severities", [None, [50, 31, 12, 4, 0]], ids=str)
def test_noise_with_estimated_z_is_ddim(sampler, severities):
    D, x = Noise(T=50), images(2) * 1.5

    def R(x, s):
        return torch.tanh(x.roll(1, -1) - 0.3 * x) + 0.1 * torch.cos(torch.tensor(float(s)))

    expected = ddim(R, x, 50, severities or list(range(50, -1, -1)))
    for (r, state, _), (other, theirs) in zip(sampler(R, D, x, D.infer, severities), expected, strict=True):
        assert r == other
        assert torch.allclose(state.double(), theirs, rtol=0, atol=1e-5), r
    assert rms(theirs - x) > 0.1
