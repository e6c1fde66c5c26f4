"""Generation: what survives is read and written exactly, the mixture is the data's, and one start gives one image."""

import pytest
import torch
from helpers import images

from coldlab import data, generation
from coldlab.degradations import Animorph, Blur, Compose, Desaturate, Fade, Mask, Noise, Pixelate
from coldlab.errors import ColdlabError

LINEAR = {
    "blur": (Blur(32), 20),
    "blur, earlier": (Blur(32), 8),
    "reflect": (Blur(16, padding="reflect"), 20),
    "discrete": (Blur(16, T=5, discrete=True), 5),
    "average": (Pixelate(32), 3),
    "bicubic": (Pixelate(32, mode="bicubic"), 2),
}


def uint8(n, channels=1, size=16):
    return data.to_uint8(images(n, channels, size))


class Identity(torch.nn.Module):
    """R(x, t) = x, with a parameter so that it has a device."""

    def __init__(self):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x, t):
        return x


@pytest.mark.parametrize(("D", "t"), LINEAR.values(), ids=LINEAR)
def test_reading_and_writing_what_survives_is_degrading(D, t):
    x0 = images(3, 2, D.size)
    survivors = generation.Survivors(D, t)
    assert (survivors.write(survivors.read(x0)) - D(x0, t)).abs().max() < 2e-6


def test_nine_numbers_survive_the_paper_s_mnist_blur_and_the_mean_is_the_strongest():
    survivors = generation.Survivors(Blur(32), 20)
    assert len(survivors) == 9
    assert len(generation.Survivors(Blur(32, discrete=True), 20)) == 1
    assert len(generation.Survivors(Pixelate(32), 3)) == 16
    x0 = images(4, 3, 32)
    mean = generation.Survivors(Blur(32), 20, keep=1)
    assert torch.allclose(mean.read(x0)[..., 0].abs(), 32 * x0.double().mean((2, 3)).abs())
    flat = x0.mean((2, 3), keepdim=True).expand_as(x0)
    assert (mean.write(mean.read(x0)) - flat).abs().max() < 1e-6


def test_gains_fall_and_numbers_below_the_floor_are_left_out():
    gains = generation.Survivors(Blur(32), 8).pairs[2]
    assert (gains.diff() <= 0).all()
    assert gains[-1] > generation.FLOOR
    more = generation.Survivors(Blur(32), 8, floor=1e-12).pairs[2]
    assert len(more) > len(gains)
    assert torch.equal(more[: len(gains)], gains)
    assert more[len(gains)] <= generation.FLOOR


def test_the_prior_draws_numbers_with_the_mean_and_covariance_of_the_images():
    D, x = Blur(16, T=4), uint8(400)
    prior = generation.fit(D, x, components=1)
    drawn, z = prior.sample(4000)
    assert z is None
    assert drawn.shape == (4000, 1, 16, 16)
    theirs, ours = (prior.survivors.read(v).flatten(1) for v in (data.to_float(x), D(data.to_float(x), 4)))
    back = generation.Survivors(D, 4)
    gains = back.pairs[2]
    seen = (D.exact["U"][4].mT @ drawn.double() @ D.exact["U"][4])[:, :, back.pairs[0], back.pairs[1]].flatten(
        1
    ) / gains
    assert torch.allclose(seen.mean(0), theirs.mean(0), atol=0.1 * theirs.std(0).max().item())
    assert torch.allclose(seen.T.cov(), theirs.T.cov(), atol=0.1 * theirs.T.cov().diagonal().max().item())
    assert not torch.allclose(ours, theirs)  # the gains are not in what is fitted


def test_colour_means_are_drawn_together():
    grey = uint8(300).expand(-1, 3, -1, -1)  # three equal channels
    drawn, _ = generation.fit(Blur(16, T=4), grey, keep=1, components=1).sample(50)
    assert drawn.std((2, 3)).max() < 1e-5
    assert (drawn[:, 0] - drawn[:, 1]).abs().max() < 0.1 * drawn.mean((1, 2, 3)).std()


def two_kinds(n=500):
    """Images of two brightnesses, so that two Gaussians describe their means."""
    generator = torch.Generator().manual_seed(0)
    level = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.5, 40, 200)
    return (level + torch.randint(-9, 10, (n, 1, 16, 16), generator=generator)).to(torch.uint8)


def test_components_are_chosen_by_the_likelihood_of_held_out_images():
    D, x = Blur(16, T=4), two_kinds()
    prior = generation.fit(D, x, keep=1, components=(1, 2, 4))
    assert set(prior.tried) == {1, 2, 4}
    assert prior.tried[2] == max(prior.tried.values())
    assert prior.mixture.n_components == 2
    assert generation.fit(D, x, keep=1, components=3).tried == {}
    c = prior.survivors.read(data.to_float(x)).flatten()  # one number: the law of one Gaussian, by hand
    rest, held = c[torch.arange(500) % 5 != 0], c[::5]
    variance = rest.var(correction=0) + 1e-6  # what scikit-learn adds
    by_hand = -0.5 * ((2 * torch.pi * variance).log() + (held - rest.mean()).square().mean() / variance)
    assert prior.tried[1] == pytest.approx(by_hand.item(), rel=1e-6)


def test_numbers_of_gaussians_that_the_images_do_not_allow_are_dropped():
    x = two_kinds(45)
    prior = generation.fit(Blur(16, T=4), x, keep=1)  # of 1, 2, 5, 10, 20, 40 only the first two have ten images each
    assert set(prior.tried) == {1, 2}
    assert generation.fit(Blur(16, T=4), x[:19], keep=1).mixture.n_components == 1
    for components, told in ((5, "45 images for 5 Gaussians"), ((9, 7), "45 images for 7"), (0, "for 0 Gaussians")):
        with pytest.raises(ColdlabError, match=told):
            generation.fit(Blur(16, T=4), x, keep=1, components=components)
    with pytest.raises(ColdlabError, match="9 images for 1 Gaussians; a mixture takes at least ten for each"):
        generation.fit(Blur(16, T=4), x[:9], keep=1)


def test_one_start_gives_one_image_and_one_seed_one_start():
    D, R = Blur(16, T=4), Identity()
    prior = generation.fit(D, uint8(100), components=2)
    first = generation.generate(R, prior, 10, seed=3)
    assert torch.equal(first, generation.generate(R, prior, 10, seed=3))
    assert torch.equal(first, generation.generate(R, prior, 10, seed=3, batch=4))
    assert not torch.equal(first, generation.generate(R, prior, 10, seed=4))
    assert (first - generation.generate(R, prior, 10, seed=3, sigma=0.1)).std() > 0.05


def test_temperature_scales_the_distance_from_the_middle_of_the_gaussians():
    prior = generation.fit(Blur(16, T=4), uint8(100), components=1)
    (full, _), (half, _), (none, _) = (generation.starts(prior, 50, temperature=t) for t in (1.0, 0.5, 0.0))
    assert (none - none[:1]).abs().max() < 1e-6  # one Gaussian has one middle
    assert torch.allclose(half - none, 0.5 * (full - none), atol=1e-5)
    with pytest.raises(ColdlabError, match="only a mixture"):
        generation.starts(generation.prior_of(Noise(T=10), uint8(4)), 2, temperature=0.5)


def test_broken_symmetry_is_white_noise_of_the_size_asked_for():
    prior = generation.fit(Blur(16, T=4), uint8(100), components=1)
    (plain, _), (noisy, _) = generation.starts(prior, 200), generation.starts(prior, 200, sigma=0.02)
    assert abs((noisy - plain).std() - 0.02) < 0.001
    assert abs((noisy - plain).mean()) < 0.001


def test_an_earlier_severity_is_where_the_walk_begins():
    prior = generation.fit(Blur(16, T=4), uint8(100), t=2, components=1)
    asked = []
    R = Identity()
    R.forward = lambda x, t: asked.append(t) or x
    generation.generate(R, prior, 2)
    assert asked == [2, 1]


def test_noise_is_generated_from_noise_and_estimates_it_anew():
    D, x = Noise(T=10), uint8(20)
    prior = generation.prior_of(D, x)
    start, z = prior.sample(500, seed=1)
    assert abs(start.std() - 1) < 0.02
    x0 = data.to_float(x[:1])
    R = Identity()
    R.forward = lambda x, t: x0.expand_as(x) * t / 10  # it changes its mind
    estimated = [state for _, state, _ in generation.walk(R, prior, start[:2], z[:2])]
    kept = [state for _, state, _ in generation.walk(R, prior, start[:2], z[:2], fixed=True)]
    last_guess = x0.expand(2, -1, -1, -1) / 10
    assert torch.allclose(
        estimated[-1], last_guess, atol=1e-5
    )  # an estimated z explains x_s, so the guess is what ends
    assert torch.allclose(generation.generate(R, prior, 2), last_guess, atol=1e-5)
    assert not torch.allclose(kept[-1], last_guess, atol=0.01)


def test_fade_and_animorph_start_from_what_they_end_in():
    for D in (Fade(16, T=20), Animorph(T=10)):
        start, z = generation.prior_of(D, uint8(30, 3)).sample(6)
        assert (D(images(6, 3), D.T, z) - start).abs().max() < 0.01


def test_latents_of_several_parts_are_split_into_batches_too():
    D = Compose((Fade(16, T=20), Noise(T=20)))
    prior = generation.prior_of(D, uint8(30, 3))
    whole, parts = (generation.generate(Identity(), prior, 5, batch=size) for size in (5, 2))
    assert torch.allclose(whole, parts, atol=1e-6)


def test_what_cannot_be_done_is_told():
    x = uint8(100, 3)
    for D in (Mask(16), Desaturate(16)):
        with pytest.raises(ColdlabError, match="leaves much of the image"):
            generation.prior_of(D, x)
    with pytest.raises(ColdlabError, match="needs a blur or a pixelation"):
        generation.Survivors(Noise(), 3)
    with pytest.raises(ColdlabError, match="at least 1"):
        generation.Survivors(Blur(16), 3, keep=0)
    with pytest.raises(ColdlabError, match="at least ten for each"):
        generation.fit(Blur(16, T=4), x, components=11)
    with pytest.warns(UserWarning, match="768 numbers survive and a mixture learns at most 256"):
        prior = generation.fit(Blur(16, T=1, std=0.5), x, components=1)
    assert prior.mixture.n_features_in_ == 255
    prior = generation.fit(Blur(16, T=4), x, components=1)
    for count, sigma, temperature in ((0, 0.0, 1.0), (1, -1.0, 1.0), (1, 0.0, -1.0)):
        with pytest.raises(ColdlabError, match="count"):
            generation.starts(prior, count, sigma=sigma, temperature=temperature)
