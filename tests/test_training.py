"""The training loop: what R is shown, what a step does, that a run can be stopped, repeated and trusted."""

import copy
import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from helpers import images, rms

from coldlab import ColdlabError, checkpoints, data, training
from coldlab.data import batches
from coldlab.data.batches import fetch, split
from coldlab.degradations import Blur
from coldlab.degradations.base import each
from coldlab.sampling import improved
from coldlab.training import Config, build, check_finite, eight_bits, learning_rate, seed_of, start, train, validate
from coldlab.unet import Preconditioned, UNet

TINY = Config(size=16, channels=1, width=8, mults=(1,), attention=(), patch=4, steps=6, batch=8, options=dict(T=3))


def tiny(**changes):
    return dataclasses.replace(TINY, **changes)


def pictures(count=12, size=16, channels=1):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)


class Recorder:
    """D, remembering what it was asked."""

    def __init__(self, D):
        self.D, self.T, self.blind, self.calls = D, D.T, D.blind, []

    def draw(self, x0, generator=None):
        return self.D.draw(x0, generator)

    def __call__(self, x0, t, z=None):
        self.calls.append((x0.clone(), t.clone()))
        return self.D(x0, t, z)


def recorded(config, images_uint8=None, rank=0):
    """The (x0, t) of each step of a whole run, and its losses."""
    D, state = start(config)
    D = Recorder(D)
    losses = [loss for _, loss in train(state, D, pictures() if images_uint8 is None else images_uint8, config, rank)]
    return D.calls, losses


def equal_states(a, b):
    """Weights, averages and optimiser, bit for bit."""
    optimizers = [state.optimizer.state_dict() for state in (a, b)]
    if optimizers[0]["param_groups"] != optimizers[1]["param_groups"]:
        return False
    for key in optimizers[0]["state"]:
        for name, value in optimizers[0]["state"][key].items():
            if not torch.equal(value, optimizers[1]["state"][key][name]):
                return False
    pairs = [(a.R, b.R), (a.ema, b.ema)]
    return a.step == b.step and all(
        torch.equal(p, q) for one, two in pairs for p, q in zip(one.parameters(), two.parameters(), strict=True)
    )


# ---------------------------------------------------------------------------------------------------- what R is shown


def test_severities_are_uniform_from_1_to_T_and_both_ends_are_there():
    calls, _ = recorded(tiny(batch=128, steps=5, options=dict(T=4)))
    t = torch.cat([t for _, t in calls])
    counts = torch.bincount(t, minlength=6).tolist()
    assert counts[0] == counts[5] == 0  # never the clean image, never beyond T
    assert len(counts) == 6
    assert all(640 / 4 * 0.75 < n < 640 / 4 * 1.25 for n in counts[1:5])


def test_timestep_bias_favours_late_severities_as_the_largest_of_so_many_draws():
    calls, _ = recorded(tiny(batch=512, steps=8, timestep_bias=3.0, options=dict(T=4)))
    t = torch.cat([t for _, t in calls])
    counts = torch.bincount(t, minlength=5)[1:] / len(t)
    expected = [((k + 1) / 4) ** 3 - (k / 4) ** 3 for k in range(4)]  # P(max of 3 = k + 1)
    assert counts.tolist() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("degradation", ["blur", "mask", "blur+noise"])
def test_rollout_shows_R_where_one_step_of_algorithm_2_leads(degradation):
    """Of eight images the first half come from a step of the sampler that starts at a true state; the rest are true."""
    options = {} if "+" in degradation else dict(T=5)
    config = tiny(rollout=0.5, degradation=degradation, options=options, precondition=False)
    D, state = start(config)
    x0 = training.to_float(pictures(8))
    z = D.draw(x0, torch.Generator().manual_seed(3))
    D.draw = lambda x0, draw: z
    seen = []
    training.loss_of(lambda x, t: seen.append((x, t)) or state.R(x, t), D, x0, config, torch.Generator().manual_seed(0))
    (start_x, s), (x, t) = seen
    assert len(s) == 4
    assert (s >= t[:4]).all()
    assert (s > t[:4]).any()
    first = each(lambda v: v[:4], z)
    assert torch.equal(start_x, D(x0[:4], s, first))
    with torch.no_grad():
        guess = state.R(start_x, s)
    assert torch.allclose(x[:4], start_x - D(guess, s, first) + D(guess, t[:4], first), atol=1e-6)
    assert torch.equal(x[4:], D(x0, t, z)[4:])
    assert not x.requires_grad


def test_rollout_may_begin_where_samplers_do():
    """Every state that R is shown then comes from T: from its own guess there, or, at t = T, from the true state."""
    config = tiny(rollout=1.0, rollout_from_T=True, options=dict(T=5), precondition=False)
    D, state = start(config)
    x0, seen = training.to_float(pictures(64)), []
    training.loss_of(lambda x, t: seen.append((x, t)) or state.R(x, t), D, x0, config, torch.Generator().manual_seed(0))
    (start_x, s), (x, t) = seen
    assert s.tolist() == [5] * 64
    assert torch.equal(start_x, D(x0, 5))
    assert torch.allclose(x[t == 5], start_x[t == 5], atol=1e-6)
    assert (x - D(x0, t))[t < 5].abs().amax((1, 2, 3)).min() > 1e-3
    assert t.unique().tolist() == [1, 2, 3, 4, 5]


def test_rollout_by_several_calls_goes_on_from_where_each_led():
    """Each call sees what the last one left, no severity is above the one before, and the last ends at t."""
    config = tiny(rollout=1.0, rollout_from_T=True, rollout_calls=3, options=dict(T=9), precondition=False)
    D, state = start(config)
    x0, seen = training.to_float(pictures(64)), []
    training.loss_of(lambda x, t: seen.append((x, t)) or state.R(x, t), D, x0, config, torch.Generator().manual_seed(0))
    assert len(seen) == 4
    assert torch.equal(seen[0][0], D(x0, 9))
    for (x, s), (below, r) in pairwise(seen):
        assert (s >= r).all()
        with torch.no_grad():
            guess = state.R(x, s)
        assert torch.allclose(below, x - D(guess, s) + D(guess, r), atol=1e-6)
    between = seen[1][1]
    assert (between < 9).any()
    assert (between > seen[3][1]).any()


def test_images_in_host_memory_are_fetched_by_the_same_numbers():
    source = pictures(12)
    chosen = torch.tensor([3, 3, 0, 11])
    assert torch.equal(fetch(source, chosen, torch.device("cpu")), source[chosen])
    there = fetch(source, chosen, torch.device("meta"))  # a device that is not where the images are
    assert there.device.type == "meta"
    assert there.shape == (4, 1, 16, 16)


def test_held_out_images_are_spread_over_all_and_never_trained_on():
    source = torch.arange(200, dtype=torch.uint8).view(200, 1, 1, 1)
    numbers, held = split(source, tiny(held_out=1000))
    training = source[numbers]
    assert (len(training), len(held)) == (180, 20)  # at most a tenth
    assert sorted([*training.flatten().tolist(), *held.flatten().tolist()]) == list(range(200))
    assert held.flatten().diff().float().mean() == pytest.approx(199 / 19, abs=0.5)  # sorted folders: some of each kind
    assert [len(part) for part in split(source, tiny(held_out=5))] == [195, 5]
    assert [len(part) for part in split(source, tiny(held_out=0))] == [200, 0]
    assert [len(part) for part in split(source[:8], tiny())] == [8, 0]


def test_splitting_copies_none_of_the_images_to_train_on():
    """Of 0.92 GiB of images a copy took 0.92 GiB more."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Made(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            result = function(*arguments, **(options or {}))
            made.extend(x.nbytes for x in (result if isinstance(result, tuple) else (result,)) if torch.is_tensor(x))
            return result

    made, source = [], pictures(2000)
    with Made():
        numbers, _ = split(source, tiny(held_out=100))
        assert made
        assert max(made) < source.nbytes / 10
        steps = train(start(tiny(steps=1))[1], Blur(16, 3), source, tiny(steps=1), 0, 1, numbers)
        made.clear()
        next(steps)
        assert max(made) < source.nbytes / 10
        made.clear()
        source[numbers]
        assert max(made) > source.nbytes / 2  # the mode does see a copy


def test_training_among_some_images_is_training_on_those():
    source, numbers = pictures(30), torch.tensor([4, 9, 11, 20, 29])
    (D, among), (_, alone) = start(tiny()), start(tiny())
    one = [loss.item() for _, loss in train(among, D, source, tiny(), 0, 1, numbers)]
    assert one == [loss.item() for _, loss in train(alone, D, source[numbers], tiny())]
    assert equal_states(among, alone)


def test_bfloat16_that_a_gpu_emulates_is_not_taken(monkeypatch):
    """Colab's T4 says that it supports bfloat16, several times slower than float32."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not training.bfloat16_pays("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert training.bfloat16_pays(torch.device("cuda:1"))
    assert not training.bfloat16_pays("cpu")


@pytest.mark.parametrize("degradation", ["blur", "mask"])
def test_validation_is_the_loss_at_severities_that_stay_the_same(degradation):
    config = tiny(degradation=degradation, loss="l2")
    D, state = start(config)
    source = pictures(300)
    loss = validate(state.ema, D, source, config)
    assert loss == validate(state.ema, D, source, config)
    assert loss != validate(state.ema, D, source[:299], config)

    class Oracle(torch.nn.Module):  # what it is shown, it knows
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.t = []

        def forward(self, x, t):
            self.t.append(t)
            done = sum(map(len, self.t))
            return data.to_float(source[done - len(t) : done]) + 0.1

    oracle = Oracle()
    assert validate(oracle, D, source, config) == pytest.approx(0.01, rel=1e-4)
    assert torch.cat(oracle.t).unique().tolist() == [1, 2, 3]
    assert math.isnan(validate(state.ema, D, source[:0], config))


def test_a_step_reads_nothing_back_from_the_device(monkeypatch):
    """On a GPU every number that Python reads waits for all work; the loop must not read one (checks of t aside)."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            if "_local_scalar_dense" in str(function) and arguments[0].numel():
                read.append(str(function))
            return function(*arguments, **(options or {}))

    read = []
    config = tiny(rounded=0.5, shift=1, flip=True, timestep_bias=2.0, rollout=0.5)
    D, state = start(config)
    monkeypatch.setattr(type(D), "check", lambda self, x0, t, z: t)  # on a GPU it does not look at t either
    monkeypatch.setattr(training, "learning_rate", lambda config, step: 1e-3)  # a number of Python's own
    with Reads():
        losses = [loss for _, loss in train(state, D, pictures(), config)]
        assert read == []
        losses[0].item()
        assert len(read) == 1  # the mode does see a read


def test_batches_are_drawn_from_all_images_anew_at_each_step():
    source = pictures(12)
    calls, _ = recorded(tiny(batch=16, steps=6), source)
    known = data.to_float(source)
    chosen = [[next(i for i in range(12) if torch.equal(x, known[i])) for x in x0] for x0, _ in calls]
    assert {i for batch in chosen for i in batch} == set(range(12))
    assert len({tuple(batch) for batch in chosen}) == 6
    assert all(len(set(batch)) > 1 for batch in chosen)


def test_a_batch_is_a_function_of_seed_rank_and_step_alone():
    def first(rank=0, **changes):
        return recorded(tiny(steps=2, **changes), rank=rank)[0]

    reference = first()
    torch.manual_seed(77)
    again = first()
    for (x0, t), (other, u) in zip(reference, again, strict=True):
        assert torch.equal(x0, other)
        assert torch.equal(t, u)
    for other in (first(rank=1), first(seed=1)):
        for step in range(2):
            assert not torch.equal(other[step][0], reference[step][0])
            assert not torch.equal(other[step][1], reference[step][1])
    assert len({seed_of(seed, rank, step) for seed in range(10) for rank in range(10) for step in range(10)}) == 1000


def test_training_leaves_the_callers_random_numbers_alone():
    D, state = start(tiny())
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for _ in train(state, D, pictures(), tiny()):
        assert torch.equal(torch.get_rng_state(), before)


def test_images_are_shown_in_minus_one_to_one():
    calls, _ = recorded(tiny(), torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 16, 16))
    assert set(torch.cat([x0 for x0, _ in calls]).unique().tolist()) == {-1.0, 1.0}


def shown(config, source=None):
    """[(x, t, options)] that R was called with over a run."""
    D, state = start(config)
    seen = []
    state.R.register_forward_pre_hook(lambda m, inputs, options: seen.append((*inputs, options)), with_kwargs=True)
    for _ in train(state, D, pictures() if source is None else source, config):
        pass
    return D, seen


def on_the_grid(x):
    levels = (x + 1) * 127.5
    return ((levels - levels.round()).abs() < 1e-3).flatten(1).all(1)


def test_rounding_shows_R_a_share_of_8_bit_images_and_tells_it_so():
    _, seen = shown(tiny(rounded=0.0))
    assert not torch.cat([on_the_grid(x) for x, _, _ in seen]).any()
    assert all(options == {} for _, _, options in seen)
    _, seen = shown(tiny(rounded=1.0))
    assert torch.cat([on_the_grid(x) for x, _, _ in seen]).all()
    _, seen = shown(tiny(rounded=0.3, batch=64))
    coarse = torch.cat([on_the_grid(x) for x, _, _ in seen])
    assert 0.2 < coarse.float().mean() < 0.4
    eps = torch.cat([options["eps"] for _, _, options in seen])
    assert torch.equal(eps, torch.where(coarse, 4e-3, 2e-6))
    # A network that is not shown the inverse has no use for eps.
    _, seen = shown(tiny(rounded=1.0, precondition=False))
    assert torch.cat([on_the_grid(x) for x, _, _ in seen]).all()
    assert all(options == {} for _, _, options in seen)


def test_rounding_to_8_bits_is_to_the_nearest_of_256_levels():
    levels = torch.arange(256) / 127.5 - 1
    assert torch.allclose(eight_bits(levels), levels, rtol=0, atol=1e-6)
    assert torch.allclose(eight_bits(levels[1:] - 0.0035), levels[1:], rtol=0, atol=1e-6)
    assert torch.allclose(eight_bits(levels[:-1] + 0.0035), levels[:-1], rtol=0, atol=1e-6)
    assert torch.allclose(eight_bits(torch.tensor([-1.7, 2.0])), torch.tensor([-1.0, 1.0]))
    assert torch.equal(data.to_uint8(eight_bits(levels)), torch.arange(256, dtype=torch.uint8))


def test_augmented_images_are_shifted_with_repeated_borders_and_mirrored():
    source = pictures(2)
    calls, _ = recorded(tiny(shift=2, flip=True, batch=64, steps=4), source)
    x = data.to_float(source)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    variants = {
        (i, dy, dx, flip): (crop.flip(-1) if flip else crop)
        for i in range(2) for dy in range(-2, 3) for dx in range(-2, 3) for flip in (False, True)
        for crop in [padded[i, :, 2 + dy : 18 + dy, 2 + dx : 18 + dx]]
    }  # fmt: skip
    found = [[next((key for key, v in variants.items() if torch.equal(v, x0)), None) for x0 in x] for x, _ in calls]
    for batch in found:
        assert None not in batch
        assert {flip for *_, flip in batch} == {False, True}  # each image for itself
        assert {dy for _, dy, _, _ in batch} == {dx for _, _, dx, _ in batch} == set(range(-2, 3))
        assert len({dy - dx for _, dy, dx, _ in batch}) > 4
    calls, _ = recorded(tiny(batch=64, steps=4), source)  # by default nothing of it
    assert {x0.sum().item() for x, _ in calls for x0 in x} == {v.sum().item() for v in x}


def test_images_are_enlarged_shrunk_and_slanted():
    x = torch.full((400, 1, 32, 32), -1.0)
    x[:, :, 8:24, 14:18] = 1  # an upright bar
    draw = torch.Generator().manual_seed(0)
    y = batches.augment(x, tiny(scale=0.2), draw)
    mass = (y + 1).sum((1, 2, 3)) / (x + 1).sum((1, 2, 3))
    assert 0.6 < mass.min() < 0.75  # 0.8 squared
    assert 1.35 < mass.max() < 1.5
    y = batches.augment(x, tiny(slant=0.3), draw)
    columns = torch.arange(32.0)
    lean = [((y[:, 0, row] + 1) * columns).sum(1) / (y[:, 0, row] + 1).sum(1) for row in (9, 22)]
    assert -4.2 < (lean[1] - lean[0]).min() < -3.5  # 13 rows of up to 0.3 each
    assert 3.5 < (lean[1] - lean[0]).max() < 4.2
    y = batches.augment(x, tiny(slant=1e-9, shift=2), draw)
    assert torch.allclose(y.sum((1, 2, 3)), x.sum((1, 2, 3)), rtol=1e-3)
    top = (y[:, 0].amax(-1) > 0).int().argmax(1)
    assert set(top.tolist()) == {6, 7, 8, 9, 10}
    assert y.abs().max() <= 1
    assert torch.equal(batches.augment(x, tiny(), draw), x)

    many = x[:1].expand(400, -1, -1, -1)
    changed = (batches.augment(many, tiny(shift=2, scale=0.2, augmented=0.25), draw) != many).flatten(1).any(1)
    assert 0.18 < changed.double().mean() < 0.32


# ---------------------------------------------------------------------------------------------------- what a step does


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_a_step_is_adam_on_the_loss_between_prediction_and_clean_image(loss):
    config = tiny(loss=loss, lr=1e-2, warmup=4)
    D, state = start(config)
    before, seen = copy.deepcopy(state.R), []
    state.R.register_forward_hook(lambda module, inputs, output: seen.append((*inputs, output)))
    recorder = Recorder(D)
    step, value = next(train(state, recorder, pictures(), config))
    (x, t, prediction), (x0, asked) = seen[0], recorder.calls[0]
    assert step == 1
    assert torch.equal(t, asked)
    assert torch.equal(x, D(x0, t))
    error = prediction.float() - x0
    expected = error.abs().mean() if loss == "l1" else error.square().mean()
    assert torch.allclose(value, expected, rtol=0, atol=1e-6)
    assert not value.requires_grad

    optimizer = torch.optim.Adam(before.parameters(), lr=1e-2 / 4)  # a quarter of the warm-up
    error = before(x, t).float() - x0
    (error.abs().mean() if loss == "l1" else error.square().mean()).backward()
    optimizer.step()
    for p, q in zip(before.parameters(), state.R.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=1e-4)
        assert q.grad is None  # gradients do not add up over steps


def test_the_average_follows_its_formula_and_holds_no_graph():
    config = tiny(ema=0.3, steps=8, lr=1e-2)
    D, state = start(config)
    expected = [p.detach().double() for p in state.R.parameters()]
    assert all(torch.equal(p, q) for p, q in zip(state.R.parameters(), state.ema.parameters(), strict=True))
    for step, _ in train(state, D, pictures(), config):
        decay = min(0.3, step / (9 + step))  # 0.1, 2/11, 0.25, then 0.3
        for i, p in enumerate(state.R.parameters()):
            expected[i] = decay * expected[i] + (1 - decay) * p.detach().double()
        for p, q in zip(state.ema.parameters(), expected, strict=True):
            assert torch.allclose(p.double(), q, rtol=0, atol=1e-6)
            assert not p.requires_grad
            assert p.grad_fn is None
    assert not state.ema.training
    assert any(not torch.equal(p, q) for p, q in zip(state.R.parameters(), state.ema.parameters(), strict=True))


def test_the_learning_rate_rises_and_falls_to_zero():
    config = tiny(lr=2.0, warmup=10, steps=100)
    assert learning_rate(config, 0) == pytest.approx(0.2)
    assert learning_rate(config, 4) == pytest.approx(1.0 * 0.5 * (1 + math.cos(math.pi * 0.04)))
    assert learning_rate(config, 9) == pytest.approx(0.5 * 2 * (1 + math.cos(math.pi * 0.09)))
    assert learning_rate(config, 50) == pytest.approx(1.0)
    assert learning_rate(config, 99) < 0.001
    assert learning_rate(config, 100) == pytest.approx(0, abs=1e-6)
    falling = [learning_rate(config, step) for step in range(9, 101)]
    assert falling == sorted(falling, reverse=True)
    assert learning_rate(tiny(lr=2.0, warmup=0), 0) == pytest.approx(2.0)
    config = tiny(lr=1e-2, warmup=3)
    D, state = start(config)
    for step, _ in train(state, D, pictures(), config):
        assert state.optimizer.param_groups[0]["lr"] == learning_rate(config, step - 1)


def test_it_yields_each_step_once_and_ends_at_the_last():
    D, state = start(tiny())
    assert [step for step, _ in train(state, D, pictures(), tiny())] == [1, 2, 3, 4, 5, 6]
    assert state.step == 6
    assert list(train(state, D, pictures(), tiny())) == []


def test_it_learns_eight_images_by_heart():
    config = Config(
        size=16, channels=1, width=16, mults=(1, 2), attention=(), patch=2, options=dict(T=6, kernel=5, std=1.5),
        steps=200, batch=8, lr=5e-3, warmup=10, ema=0.9,
    )  # fmt: skip
    eight = data.load("digits", size=16)[0][:8]
    D, state = start(config)
    losses = torch.stack([loss for _, loss in train(state, D, eight, config)])
    check_finite(state)
    assert losses[-10:].mean() < losses[:5].mean() / 6
    x0 = data.to_float(eight)
    x_T = D(x0, D.T)
    *_, (_, restored, _) = improved(state.ema, D, x_T)
    assert rms(x_T - x0) > 0.4
    assert rms(restored - x0) < rms(x_T - x0) / 4
    assert rms(state.ema(x_T, D.T) - x0) < rms(x_T - x0) / 4


# ------------------------------------------------------------------------------------------- stop, resume, bad numbers


@pytest.mark.parametrize("changes", [{}, {"rounded": 0.5, "degradation": "mask", "shift": 1, "rollout": 0.5}], ids=str)
def test_stopped_and_resumed_is_bit_identical(tmp_path, changes):
    config = tiny(**changes)
    D, whole = start(config)
    losses = [loss.item() for _, loss in train(whole, D, pictures(), config)]

    D, part = start(config)
    steps = train(part, D, pictures(), config)
    first = [next(steps)[1].item() for _ in range(3)]
    checkpoints.save_state(tmp_path / "state.pt", part, config)
    torch.manual_seed(123)
    D, resumed, again = checkpoints.load_state(tmp_path / "state.pt")
    assert again == config
    assert resumed.step == 3
    rest = [loss.item() for _, loss in train(resumed, D, pictures(), again)]
    assert first + rest == losses
    assert equal_states(resumed, whole)
    assert not equal_states(part, whole)  # the comparison can tell
    assert [type(m) for m in resumed.R.modules()] == [type(m) for m in whole.R.modules()]


@pytest.mark.parametrize(
    ("changes", "looks"), [({"precondition": False}, 0), ({"precondition": False, "rollout": 0.5}, 1), ({}, 1)], ids=str
)
def test_a_hole_is_looked_for_only_where_somebody_asks(changes, looks, monkeypatch):
    """R's inverse asks, and so do states of R's own making; a network that is shown x_t alone does not."""
    config = tiny(degradation="mask", **changes)
    D, state = start(config)
    found, infer = [], D.infer
    monkeypatch.setattr(D, "infer", lambda *asked: found.append(asked) or infer(*asked))
    x0 = data.to_float(pictures(8))
    loss = training.loss_of(state.R, D, x0, config, torch.Generator().manual_seed(1))
    assert len(found) == looks
    if not looks:
        draw = torch.Generator().manual_seed(1)
        t = (D.T * torch.rand(8, generator=draw) ** (1 / config.timestep_bias)).ceil().clamp(1, D.T).long()
        by_hand = (state.R(D(x0, t, D.draw(x0, draw)), t) - x0).abs().mean()
        assert torch.equal(loss, by_hand)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_noticed_with_its_step(bad):
    D, state = start(tiny())
    check_finite(state)  # before the first step
    steps = train(state, D, pictures(), tiny())
    next(steps), next(steps)
    check_finite(state)
    weight = next(state.R.parameters())
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(bad)
    next(steps)
    with torch.no_grad():
        for p, q in zip(state.R.parameters(), state.ema.parameters(), strict=True):
            p.copy_(torch.zeros_like(q))  # the run seems to recover,
        weight.copy_(kept)
    next(steps)
    with pytest.raises(ColdlabError, match=r"not a number at step 3\b.*lower --lr"):  # and still the step is named
        check_finite(state)


def test_weights_that_are_no_numbers_are_noticed_before_they_are_saved():
    D, state = start(tiny())
    next(train(state, D, pictures(), tiny()))
    with torch.no_grad():
        list(state.R.parameters())[-1].view(-1)[-1] = float("nan")
    with pytest.raises(ColdlabError, match=r"step 1\b"):
        check_finite(state)


# --------------------------------------------------------------------------------------------------------------- build


def test_building_is_repeatable_and_leaves_random_numbers_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    D, R = build(tiny())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    _, twin = build(tiny())
    _, other = build(tiny(seed=1))
    assert all(torch.equal(p, q) for p, q in zip(R.parameters(), twin.parameters(), strict=True))
    assert any(not torch.equal(p, q) for p, q in zip(R.parameters(), other.parameters(), strict=True))
    assert repr(D) == repr(Blur(16, 3))


def test_the_network_is_as_configured():
    _, R = build(tiny(mults=(1, 2), attention=(1,), residual=True, channels=3, patch=2))
    assert isinstance(R, Preconditioned)
    net = R.net
    assert (net.channels, net.inputs, net.patch, net.residual) == (3, 6, 2, True)
    _, plain = build(tiny(precondition=False))
    assert isinstance(plain, UNet)
    assert plain.inputs == 1
    _, mask = build(tiny(degradation="mask"))  # what is left of each pixel, too
    assert mask.net.inputs == 3
    _, snow = build(tiny(degradation="snow"))  # there is no inverse to show
    assert isinstance(snow, UNet)
    D, _ = build(tiny(degradation="mask", options=dict(T=7, centre="centred", kernel_std=0.25)))
    assert (D.T, D.centre, D.kernel_std) == (7, "centred", 0.25)


def test_settings_that_cannot_be_raise():
    for changes, told in [
        ({"loss": "l3"}, r"unknown loss 'l3'.*l1, l2"), ({"steps": 0}, r"steps = 0"), ({"batch": -1}, r"batch = -1"),
        ({"lr": 0.0}, r"lr = 0"),
        ({"lr": math.nan}, r"lr = nan"), ({"lr": math.inf}, r"lr = inf"), ({"patch": 0}, r"patch = 0"),
        ({"width": 7}, r"width 7"),
        ({"rollout": 1.5}, r"rollout = 1.5; it is a share"),
        ({"degradation": "blurr"}, r"did you mean 'blur'"), ({"options": {"kernal": 3}}, r"did you mean 'kernel'"),
    ]:  # fmt: skip
        with pytest.raises(ColdlabError, match=told):
            start(tiny(**changes))


def test_colour_images_train_too():
    config = tiny(channels=3, degradation="desaturate", steps=2)
    D, state = start(config)
    assert [step for step, _ in train(state, D, pictures(channels=3), config)] == [1, 2]
    assert state.R(images(2, 3), 3).shape == (2, 3, 16, 16)
