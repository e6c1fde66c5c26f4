# %% [markdown]
# # Blur or noise
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/coldlab/blob/main/book/09_blur_or_noise.ipynb)
#
# **After this chapter you can** say how much of an image is left in a ruined one, match severities of degradations that have nothing in common, compare hot and cold diffusion at equal cost, and tell where the question in the title has an answer and where it has none.
#
# **You need** chapters 1, 4 and 6: D, Algorithm 2, and starts that are drawn; for the last table chapter 7's precision, recall and Fréchet distance. **It takes** 25 minutes to read; the cells run in about 50 s on one core of a recent CPU, measured.

# %% tags=["colab", "hide-cell"]
# This cell does nothing where coldlab is installed. In Colab or a bare kernel it
# installs coldlab and whatever coldlab still needs; torch, torchvision and numpy
# stay at the versions you have.
import importlib
import subprocess
import sys
from importlib import metadata, util

if util.find_spec("coldlab") is None:
    held = ("torch", "torchvision", "numpy")
    held = [f"{n}=={metadata.version(n)}" for n in held if util.find_spec(n)]
    wanted = ["coldlab @ git+https://github.com/OWNER/coldlab", *held]
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-color", *wanted]
    pip = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if pip.returncode:
        told = [line.strip() for line in pip.stderr.splitlines() if line.strip()]
        reasons = [line for line in told if line.startswith(("fatal:", "ERROR:"))]
        reasons = [line for line in reasons if "Ignored" not in line]
        reason = (reasons or told[-1:] or [""])[0][:200]
        sys.exit(
            f"coldlab could not be installed. {reason} Is there a network? "
            "Then run this cell again."
        )
    importlib.invalidate_caches()

# %%
from itertools import pairwise

import torch

from coldlab import data, metrics, plots, widgets
from coldlab.data import to_float, to_unit
from coldlab.lab import blur_or_noise, matched, results
from coldlab.training import Config

DATASET = "digits"  # or "mnist", or the path of a folder of your own images
CLASSIFIER = "digits"  # who reads the results: digits or mnist
SIZE = 32  # pixels a side; 16 is quicker, and gives other numbers


def grey(images):
    """Images as they are or, in colour, the mean of their channels, uint8."""
    return images.float().mean(1, keepdim=True).round().to(torch.uint8)


images = grey(data.load(DATASET, "train", SIZE)[0])
test, labels = data.load(DATASET, "test", SIZE)
test = grey(test[:200])
x0 = to_float(test[:8])
ways = blur_or_noise.arms(SIZE)  # {name: (D, how precisely x_t is kept)}
for name, (D, how) in ways.items():
    print(f"{name:14s} T = {D.T:2d}, x_t in {how}")

# %% [markdown]
# ## A puzzle first
#
# Is blur harder to undo than noise? Whoever shows cold diffusion is asked that. The paper does not answer, and the project that this course grew out of wrote it on its list of things to do.
#
# It sounds easy to find out. Ruin digits half way, at $t = T/2$, by noise, by blur, by coarse pixels, by a hole in the middle, and restore them. **Which of the four rows will be hardest?** Write it down.

# %%
half = {}
for name, (D, how) in ways.items():
    if how == matched.FILE:  # blur as float32 would look the same
        half[name], _ = matched.degraded(D, how, x0, D.T // 2)

# %% tags=["hide-input", "plot"]
plots.rows(
    half | {"original": x0},
    title="all at t = T/2",
    alt="Four rows of eight digits at half of the highest severity. Noise: digits "
    "under coarse grain, most of them readable. Blur: plain grey squares. Pixelate: "
    "mosaics of 8 x 8 blocks. Mask: grey discs with the ends of strokes above and "
    "below. Last the originals.",
)

# %% [markdown]
# The grey squares or the grey discs, you will say: there is nothing to see. But is this comparison fair? The $t$ of a blur counts blurs, and two of them do most of the damage. The $t$ of noise is a clock that somebody set so that the noise comes evenly. Set one of the clocks otherwise, and the rows may change places, while
# neither blur nor noise has become harder. **Half way is half of what?**
#
# ## A common currency
#
# We need a number that says how much of the image is left in $x_t$ and does not know of $t$. The distance from $x_t$ to $x_0$ will not do: a negative is far from its picture and has lost nothing. How many bits of information there are would do; nobody can compute that for pictures, only for Gaussians, and we shall come back to it.
#
# Here is an old and honest measure. Take every way to guess $x_0$ that is *linear* in $x_t$. One of them has the least mean squared error. For an $x_t = A x_0 + b\,n$, with a matrix $A$ and white noise $n$, it can be written down:
#
# $$\hat x_0 = \mu + \Sigma A^\top \left(A \Sigma A^\top + (b^2 + \sigma^2)\, I\right)^{-1} (x_t - A \mu) .$$
#
# $\mu$ and $\Sigma$ are the mean and the covariance of the training images, $\sigma$ is how wrong a pixel of $x_t$ is because it was rounded. This is the **best linear estimate** (N. Wiener, 1949). It knows how bright each pixel is on average and which pixels go together. It has never seen a stroke. If images were draws
# from one Gaussian nothing could beat it; they are not, and what a network takes off its error is what the network knows about images. So this is our currency: **two ruined pictures hold equally much, by this measure, if their best linear estimates are equally wrong.** It is one currency of several.
#
# Blur, pixelation and mask are matrices; for noise $A = a_t I$ and $b = \sqrt{1 - a_t^2}$. (The mask is a hole in the middle here, so that one matrix serves all images.) The error, on average over images, follows from the same formula:

# %%
mean, cov = matched.moments(images)
linear = {name: matched.Linear(D, mean, cov, how) for name, (D, how) in ways.items()}
nothing = cov.diagonal().mean().sqrt().item() / 2  # of the mean image, in [0, 1]
print(f"the mean image is wrong by {nothing:.2f}")

# %% [markdown]
# How does the error rise with the severity? One of the four reaches the error of the mean image: there nothing at all is left. **Which?**

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
files = [name for name, (_, how) in ways.items() if how == matched.FILE]
plots.curves(
    {
        name: (
            [t / ways[name][0].T for t in range(ways[name][0].T + 1)],
            linear[name].rmse,
        )
        for name in files
    },
    alt="Error of the best linear estimate against t / T for noise, blur, pixelate "
    "and mask. Blur rises steeply to 0.15 before half way and then slowly to 0.18; "
    "noise and mask rise evenly, noise to 0.23, mask to 0.20; pixelate goes in four "
    "steps to 0.20.",
    xlabel="t / T",
    ylabel="RMSE of the best linear estimate",
)

# %% tags=["hide-cell", "check"]
end = {name: linear[name].rmse[-1] for name in ways}
if (DATASET, SIZE) == ("digits", 32):
    assert abs(nothing - 0.23) < 0.005 and abs(end["noise"] - nothing) < 0.005
    assert max(end[name] for name in ("blur", "pixelate", "mask")) < nothing - 0.02
    assert 0.14 < linear["blur"].rmse[8] < 0.16
    assert abs(linear["noise"].rmse[10] - 0.099) < 0.006
    assert abs(linear["blur"].rmse[10] - 0.155) < 0.006
    assert abs(end["blur"] - 0.18) < 0.005

# %% [markdown]
# Noise. At $T$ it has buried everything, and the best guess is the mean digit. The blur never gets there: its grey squares leave an error of 0.18, where knowing nothing would cost 0.23. Half way the blur has reached 0.155 and the noise 0.10. So our first comparison was lopsided from the start: that blur had been allowed to take more.
#
# Now choose a level, and for each way the severity that comes nearest to it. Move the slider: each position shows the four ways at **matched severities**, on the left $x_t$, on the right the best linear estimate of the same four digits. **Which looks worst now?**

# %%
levels = [0.04, 0.06, 0.08, 0.10, 0.12, 0.15, 0.17, 0.19]
frames, captions = [], []
for level in levels:
    at = {name: matched.nearest(linear[name].rmse, level) for name in files}
    lines = []
    for name in files:
        D, how = ways[name]
        x, _ = matched.degraded(D, how, x0[:4], at[name])
        lines += [x, linear[name](x.double(), at[name]).float()]
    frames.append(torch.cat(lines))
    told = ", ".join(f"{name} {t}" for name, t in at.items())
    captions.append(f"error {level:.2f}, at t = {told}")

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
widgets.slider(
    frames,
    captions,
    alt="Four rows, noise, blur, pixelate and mask, at severities of equal linear "
    "error: four ruined digits on the left, and their best linear estimates on the "
    "right. To the left of the slider all estimates are nearly the digits, to the "
    "right all are soft, grey ghosts of digits.",
    start=5,
)

# %% tags=["hide-cell", "check"]
t = {name: matched.nearest(linear[name].rmse, 0.15) for name in files}
if (DATASET, SIZE) == ("digits", 32):
    assert t == {"noise": 15, "blur": 8, "pixelate": 3, "mask": 15}
    assert all(abs(linear[name].rmse[t[name]] - 0.15) < 0.012 for name in files)

# %% [markdown]
# At an error of 0.15 the rows on the left have nothing in common: grain, grey squares, mosaics of 16 numbers each, holes. The estimates on the right are alike in quality, ghosts of digits that one can half read. Noise hides a little of everything, blur all of the fine detail, the mask all of one place. **The
# eye is a poor judge of what is left**: of the four it likes the blur least, because eyes do not divide by gains.
#
# ## How many bits?
#
# We have passed over a small letter. $\sigma$ is how wrong a pixel of $x_t$ is because it was *rounded*, and we have taken the $x_t$ of an 8-bit file, where it is a third of a level. (A noisy picture leaves the range from black to white. Its levels go on beyond it here; a real file would clip them, and that would cost noise, too.) Keep more bits, or fewer. **For which of the four does it matter?**


# %%
def error_with(name, t, bits):
    """The linear error where pixels have 2^bits levels between -1 and 1."""
    sigma = 2 / (2**bits - 1) / 12**0.5  # of an error that is uniform in a level
    return matched.wiener(ways[name][0], t, mean, cov, sigma)[2]


bits = list(blur_or_noise.BITS)
kept = {name: [error_with(name, t[name], n) for n in bits] for name in files}

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
plots.curves(
    {f"{name}, t = {t[name]}": (bits, kept[name]) for name in files},
    alt="Linear error against the bits that a pixel of x_t is kept with, from 4 to "
    "20, at severities that 8 bits make equal. Noise and pixelate are flat. Blur "
    "falls steadily from 0.17 to 0.10, mask from 0.19 to 0.08.",
    xlabel="bits per pixel",
    ylabel="RMSE of the best linear estimate",
)

# %% tags=["nbval-ignore-output"]
as_file, as_float = linear["blur"].rmse[8], linear["blur, float32"].rmse[8]
for name, error in (("an 8-bit file", as_file), ("float32", as_float)):
    equal = matched.nearest(linear["noise"].rmse, error)
    print(f"eight blurs in {name}: as much is left as of noise at t = {equal}")

# %% tags=["hide-cell", "check"]
if (DATASET, SIZE) == ("digits", 32):
    for name in ("noise", "pixelate"):
        assert max(kept[name][2:]) - min(kept[name][2:]) < 0.001
    assert kept["blur"][2] > 0.14 and kept["blur"][-1] < 0.11
    assert ways["blur"][0].gains[1].min() > 0.01  # of one blur: none is zero
    assert kept["mask"][-1] < 0.65 * kept["mask"][2]
    assert matched.nearest(linear["noise"].rmse, as_file) == 15
    assert matched.nearest(linear["noise"].rmse, as_float) == 11

# %% [markdown]
# Noise and pixels do not care: what they have destroyed no precision brings back. Blur and mask depend on it from end to end: the detail that a blur takes and the pixels that a hole with a soft edge hides are tiny in $x_t$, not gone. The same grey squares that hold as much as noise at $t = 15$ in a file hold as much as noise at $t = 11$ in float32, and every bit more lowers their curve further. With infinitely many it would fall to zero (but for the one pixel in the middle of a hole):
# a blur whose gains are not zero can be inverted, and has destroyed *nothing*.
#
# Look at the formula again. Noise and rounding stand in the same place, $b^2 + \sigma^2$. Rounding *is* noise, very little of it. So a blur alone is not hard at all; what is hard is **a blur and a little noise**, and how little decides everything. "Is blur harder than noise?" has no answer until somebody says
# how precisely the blurred picture is kept.
#
# Noise has a door of its own that must be kept shut. The paper's experiments with noise have a variant in which $z$ is drawn once and *known* to the sampler. **What is the linear error of noise that is known?**

# %%
D, how = ways["noise"]
x, z = matched.degraded(D, matched.FLOAT, x0, 15)
a, b = D.exact["a"][15], D.exact["b"][15]
back = (x.double() - b * z.double()) / a  # no network, no mean, no covariance
print(f"largest error of a pixel: {(back - x0).abs().max():.0e}")

# %% tags=["hide-cell", "check"]
assert (back - x0).abs().max() < 1e-5

# %% [markdown]
# Nothing, but for rounding: a subtraction restores it. Noise that is known is no damage, so the question is only ever about noise that is not. (That a *sampler* may keep the $z$ that it drew is another matter; we shall measure it.)
#
# ## Two networks at equal cost
#
# Now a fair race. One architecture for both, a network each, shown the same two things, $x_t$ and its best linear estimate, and asked what to add to the estimate. The same number of images, the same recipe, 8 bits for both. At the start both *are* the linear estimate. How much of its error does either take off, where the errors are equal? **Who gains more, noise or blur?**


# %%
def trained(name, steps=300):
    """A small network for one way of ruining digits, trained for some seconds."""
    made = dict(width=16, batch=64, steps=steps, lr=3e-3, loss="l2")
    config = Config(DATASET, name, **made)
    return matched.learn(*ways[name], linear[name], images, config)


R = {name: trained(name) for name in ("noise", "blur")}
at = {"noise": (5, 8, 10, 13, 15, 17), "blur": (2, 3, 4, 6, 8, 18)}
print("weights:", sum(p.numel() for p in R["noise"].net.parameters()), "each")

# %% tags=["nbval-ignore-output"]
gains = {name: {} for name in R}
for s, u in zip(*at.values(), strict=True):
    for name, severity in (("noise", s), ("blur", u)):
        rows = matched.restored(R[name], *ways[name], test, severity)
        found = {row: v["rmse"] for row, v in matched.judged(rows).items()}
        gains[name][found["linear"]] = 100 * (1 - found["network"] / found["linear"])
        told = f"linear {found['linear']:.3f}, network {found['network']:.3f}"
        print(f"{name:5s} t = {severity:2d}: {told}")

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
plots.curves(
    {name: (list(found), list(found.values())) for name, found in gains.items()},
    alt="Share of the linear error that the network takes off, against that error. "
    "Noise: eleven percent at first, falling to one. Blur: ten percent at first, "
    "rising to nearly nineteen at 0.15.",
    xlabel="RMSE of the best linear estimate",
    ylabel="taken off by the network, %",
)

# %% tags=["hide-cell", "check"]
if (DATASET, SIZE) == ("digits", 32):
    for name in gains:
        assert min(gains[name].values()) > 0
    fair = list(
        zip(*(list(found.values()) for found in gains.values()), strict=True)
    )
    assert all(blur > noise for noise, blur in fair[2:])
    noise, blur = fair[4]
    assert 2 < noise < 7 and blur > 12 and blur > 2.5 * noise

# %% [markdown]
# Where much is lost, blur, and not by a little: at an error of 0.15 its network takes off more than an eighth, the network for noise about a twentieth. (Where little is lost they are alike.) These are a few seconds of training; below it is measured with more.
#
# **Why might a blurred digit be easier to improve than a noisy one that leaves as much?** Look where the errors lie. Split them into coarse waves, middle ones and fine ones, by how often they go up and down across the image. And let a classifier, which has seen clean digits only, say how many it reads right.


# %%
def bands(error):
    """The squared error per pixel in waves of 0-2, 3-5 and 6-16 periods, x 10000."""
    power = torch.fft.fft2(error.double(), norm="ortho").abs().square().mean((0, 1))
    periods = (torch.fft.fftfreq(SIZE) * SIZE).abs()
    highest = torch.maximum(periods[:, None], periods[None]).round()
    edges = ((0, 2), (3, 5), (6, 16))
    inside = [(highest >= low) & (highest <= high) for low, high in edges]
    return [1e4 * power[where].sum().item() / power.numel() for where in inside]


reader = metrics.classifier(CLASSIFIER)
if labels is None:  # of images without labels: what it sees in the originals
    labels = metrics.predict(reader, to_unit(to_float(test))).argmax(1)
labels = labels[: len(test)]


def read(x):
    """The share of images in which the classifier sees the digit that was there."""
    return (metrics.predict(reader, x).argmax(1) == labels).double().mean().item()


# %% tags=["nbval-ignore-output"]
lies, reads = {}, {}
print(f"{'':14s}   coarse  middle    fine    read")
for name, severity in (("noise", 15), ("blur", 8)):
    rows = matched.restored(R[name], *ways[name], test, severity)
    for row in ("linear", "network"):
        lies[name, row] = found = bands(rows[row] - rows["original"])
        reads[name, row] = read(rows[row])
        cells = "".join(f"{value:9.0f}" for value in found)
        print(f"{name:6s}{row:8s}{cells}{reads[name, row]:8.0%}")

# %% tags=["hide-cell", "check"]
if (DATASET, SIZE) == ("digits", 32):
    total = {key: sum(found) for key, found in lies.items()}
    share = {key: found[0] / total[key] for key, found in lies.items()}
    assert abs(total["noise", "linear"] / total["blur", "linear"] - 1) < 0.05
    assert 0.28 < share["noise", "linear"] < 0.38
    assert 0.12 < share["blur", "linear"] < 0.18
    off = {n: 1 - lies[n, "network"][1] / lies[n, "linear"][1] for n in R}
    assert off["blur"] > 0.25 and off["noise"] < 0.15
    assert abs(reads["noise", "linear"] - reads["blur", "linear"]) < 0.06
    assert all(0.03 < reads[n, "network"] - reads[n, "linear"] < 0.22 for n in R)
    assert abs(reads["noise", "network"] - reads["blur", "network"]) < 0.1

# %% [markdown]
# The sums of the linear rows are equal, or nearly, and the classifier reads equally many. But a third of the noise's error lies in the coarse waves, and a sixth or less of the blur's. **A blur leaves the coarsest waves nearly exact and takes the more, the finer they are; noise leaves nothing exact.** Exact coarse waves pin down the others: there are not many digits that agree in all of them. No linear rule can say
# which, a network can, and it takes a good part off the middle waves. In noise every wave is a little doubtful, and there is nothing to hold on to. That is an explanation that fits, not a proof. It would fail for pictures whose detail does not follow from their coarse shapes, such as grass.
#
# And the last column keeps us modest. Both networks make more digits readable, the blur's from fewer; 200 digits are too few to tell the two apart at the end. On these digits the lead of blur may be one of strokes in their places more than of telling a 3 from an 8. **Which is harder also depends on what is asked for.**
#
# ## Another currency
#
# We matched by the *error* that a linear estimate leaves. One might match by *bits*. Of a Gaussian with the covariance of the images, $x_t$ tells
#
# $$\tfrac12 \log_2 \det\left(I + \frac{A \Sigma A^\top}{b^2 + \sigma^2}\right)$$
#
# bits. Are the severities that are equal in error equal in bits, too? **What would you say of the four?**


# %%
def bits_of(name, t):
    """What x_t of an 8-bit file tells of a Gaussian image, in bits."""
    A, b = matched.observed(ways[name][0], t)
    noise = b**2 + matched.ROUNDING[matched.FILE] ** 2
    ratio = torch.eye(len(cov)) + A @ cov @ A.T / noise
    return (
        torch.linalg.slogdet(ratio).logabsdet.item()
        / 2
        / torch.tensor(2.0).log().item()
    )


told_bits = {name: bits_of(name, t[name]) for name in files}
for name, count in told_bits.items():
    print(f"{name:9s} t = {t[name]:2d}: {count:4.0f} bits")
by_bits = [bits_of("noise", s) for s in range(1, 21)]
equal = 1 + min(range(20), key=lambda i: abs(by_bits[i] - told_bits["blur"]))
print(f"as many as eight blurs leave: noise at t = {equal}")

# %% tags=["nbval-ignore-output"]
for name, severity in (("noise", equal), ("blur", t["blur"])):
    found = matched.judged(matched.restored(R[name], *ways[name], test, severity))
    print(f"{name:5s} t = {severity:2d}: network {found['network']['rmse']:.3f}")

# %% tags=["hide-cell", "check"]
if (DATASET, SIZE) == ("digits", 32):
    assert sorted(told_bits, key=told_bits.get) == [
        "noise",
        "blur",
        "pixelate",
        "mask",
    ]
    assert told_bits["blur"] > 3 * told_bits["noise"]
    assert told_bits["mask"] > 10 * told_bits["noise"]
    assert equal < t["noise"]
    fairer = [
        matched.judged(matched.restored(R[n], *ways[n], test, s))
        for n, s in (("noise", equal), ("blur", t["blur"]))
    ]
    noise_, blur_ = fairer
    assert noise_["network"]["rmse"] < blur_["network"]["rmse"] - 0.01
    assert noise_["linear"]["rmse"] < blur_["linear"]["rmse"] - 0.03

# %% [markdown]
# Not at all. Where the errors are equal a blur leaves more than three times as many bits as noise, a hole more than ten times as many. Few numbers, each known well, are many bits and little error taken off: bits count how *precisely* something is known, the error counts how *much* of the picture. And matched by bits the order turns: now the network for noise ends nearer to the digit. It begins nearer, too: at equal bits its linear estimate is far the better one. (One pair of severities, on these digits.)
#
# So the lead of blur above has a second explanation: at equal error its network is given more bits to work with. **The currency decides who wins.** We go on with the error, since it is in the unit in which restorations are judged; whoever thinks in bits must read the other way round what follows.
#
# ## Measured on MNIST
#
# The same race on real digits, with all four ways, and blur once more as float32. Five times the same network, each trained three times from other random weights on the same number of images. Each way had its own search for a recipe, equal in number: L1 or L2, and late severities favoured or not, four short trials that held-out training images decide. (They lie within seven percent of each other, so the searches say little, to any of the five.) Then 400 test images are restored by one call at every
# severity. What was spent:

# %%
measured = results.load("blur-or-noise")
plan, arms = measured["plan"], measured["arms"]
seen = arms["noise"]["training"][0]["images_seen"]
print(f"{seen:,} images for each network, {plan['trial']} steps for a trial")
for name, arm in arms.items():
    recipe = (
        arm["recipe"].replace("bias 1.0", "t uniform").replace("bias 2.0", "late t")
    )
    print(f"{name:14s} {recipe:14s} {arm['parameters']:,} weights")

# %% [markdown]
# That is little, less than one pass through MNIST, and the networks are small. We come back to it. Below is what the networks take off the linear error, at equal linear errors. **The curves cross. Which is ahead where little is lost, and which where much is?**


# %%
def gain(rows):
    """What one call of the network takes off the linear error, in percent."""
    error = {row: measures["rmse"]["mean"] for row, measures in rows.items()}
    return 100 * (1 - error["network"] / error["linear"])


lines = {}
for name, arm in arms.items():
    every = [
        (v["linear"]["rmse"]["mean"], gain(v)) for v in arm["restored"].values()
    ]
    # Below an error of 0.03 nothing is left to see
    lines[name] = list(zip(*(pair for pair in every if pair[0] > 0.03), strict=True))

# %% tags=["hide-input", "plot"]
plots.curves(
    lines,
    alt="Percent of the linear error taken off by the network, against that error. "
    "Noise rises from eight to thirteen and falls to zero at 0.2. Both blurs, "
    "pixelate, mask rise: "
    "the blurs from minus twenty to plus twenty and more around 0.15 to 0.18, where "
    "they lie highest, pixelate from minus fifteen to ten, mask from zero to nine.",
    xlabel="RMSE of the best linear estimate",
    ylabel="taken off by the network, %",
)

# %% [markdown]
# The same as numbers, at three of the levels that pixelation has, with the 95 % interval of the mean of three trainings. (It covers the luck of the weights, not that of the 400 images, nor of a recipe that 120 steps chose.) Between two severities the errors are drawn as a line.


# %%
def told(found):
    """A mean and half of its interval."""
    low, high = found["interval"]
    return f"{found['mean']:.3f}±{(high - low) / 2:.3f}"


print(
    "RMSE of".ljust(14), "".join(f"{v:13.3f}" for v in measured["levels"]), "linear"
)
for name, arm in arms.items():
    cells = [told(at["network"]["rmse"]) for at in arm["levels"]]
    print(name.ljust(14), "".join(f"{cell:>13s}" for cell in cells), "network")

# %% tags=["hide-cell", "check"]
assert seen == 38_400 and {a["parameters"] for a in arms.values()} == {289_673}
assert all(
    len(arm["training"]) == 3 and len(arm["trials"]) == 4 for arm in arms.values()
)
assert plan["test"] == 400
first, _, last = (
    {name: gain(arm["levels"][k]) for name, arm in arms.items()} for k in range(3)
)
assert 9 < first["noise"] < 13 and max(first["blur"], first["pixelate"]) < -10
assert first["blur, float32"] < -10 and abs(first["mask"]) < 2
assert (
    1 < last["noise"] < 2 and 6 < last["mask"] < 7.5 and 9 < last["pixelate"] < 10.5
)
assert 19 < last["blur"] < 21.5 and 24.5 < last["blur, float32"] < 27
network = lambda k: {name: arm["levels"][k]["network"] for name, arm in arms.items()}
order = ["blur, float32", "blur", "pixelate", "mask", "noise"]
spans = {name: found["rmse"]["interval"] for name, found in network(2).items()}
assert all(spans[a][1] < spans[b][0] for a, b in pairwise(order))
ssim = {name: found["ssim"]["mean"] for name, found in network(2).items()}
assert sorted(ssim, key=ssim.get, reverse=True) == order
low, high = network(1)["noise"]["rmse"]["interval"]
ties = [network(1)[name]["rmse"]["mean"] for name in ("blur", "pixelate", "mask")]
assert all(low < mean < high for mean in ties)
below = {
    name: sum(
        rows["linear"]["rmse"]["mean"] < 0.06
        for rows in arms[name]["restored"].values()
    )
    for name in ("noise", "blur")
}
assert below == {"noise": 4, "blur": 1}
for arm in arms.values():
    tried = [found["restoration"] for found in arm["trials"].values()]
    assert max(tried) < 1.07 * min(tried)
slight = arms["blur"]["levels"][0]
assert slight["network"]["ssim"]["mean"] > slight["linear"]["ssim"]["mean"]
assert [name for name, arm in arms.items() if "l2" in arm["recipe"]] == ["noise"]

# %% [markdown]
# **Where little is lost noise is ahead, where much is lost it comes last.** At the first level the network for noise takes about a tenth off the linear error. Those for blur and pixels are *worse* than the estimate that they were handed. At the second the four that come from files are not separated: the interval of noise holds the means of the other three. At the last level the network for noise takes off one or two percent, the mask's nearly seven, that for pixels nearly
# ten, a blur from a file twenty, a blur in float32 twenty-six, and none of these intervals touch. SSIM puts them in the same order there.
#
# Worse than an estimate that one only had to hand on? Then the first level says little about the degradations: it says that these networks have not learnt to leave alone what is right. That has to do with practice and with the loss. For noise and for blur from files $t$ was drawn evenly, and one in twenty of the blur's severities has a linear error below 0.06, where noise has four. So even now a clock has a say: it decides what a network practises. And with so few steps the searches chose L1 for all but the noise. L1 asks for the median and is here judged by squares; by SSIM the blur's network is better than its estimate at the first level, too.
#
# What do such numbers look like? The first eight test digits at the last level, ruined and restored by the first network of each way:

# %% tags=["hide-input", "plot"]
results.picture(
    "blur-or-noise",
    alt="Eight test digits in pairs of rows, ruined and restored, at equal linear "
    "error. Noise: grain, and soft ghosts with doubled strokes, half of them "
    "unreadable. Blur: grey squares, and clean digits, all but one right. Pixelate: "
    "mosaics of 16 pixels, digits with faint parts. Mask: grey discs, digits whose "
    "middle is pale. Blur in float32: grey squares, and clean digits. Last the "
    "originals.",
)

# %% [markdown]
# **Would more training change the order?** One network each for noise and for a blur from files, with more than three times the images:

# %%
longer = measured["longer"]
print(f"{longer['noise']['images_seen']:,} images in place of {seen:,}:")
for name, run in longer.items():
    for t, rows in run["restored"].items():
        before = arms[name]["restored"][t]
        after = 100 * (1 - rows["network"]["rmse"] / rows["linear"]["rmse"])
        print(
            f"{name:6s} t = {t:>2s}, linear {rows['linear']['rmse']:.3f}: "
            f"{gain(before):5.1f} % taken off, longer {after:5.1f} %"
        )

# %% tags=["hide-cell", "check"]
more = {
    name: [
        100 * (1 - r["network"]["rmse"] / r["linear"]["rmse"])
        for r in run["restored"].values()
    ]
    for name, run in longer.items()
}
assert longer["blur"]["images_seen"] == longer["noise"]["images_seen"] > 3 * seen
assert all(3.5 < more["noise"][2] < 5.5 < 13 < v < 16 for v in more["noise"][:2])
assert more["blur"][0] < -10 and all(25 < v < 29 for v in more["blur"][1:])

# %% [markdown]
# At neither end. Both go on learning. At the last level noise comes to four or five percent and blur to twenty-seven; at the middle one, where they were tied, blur is ahead now, twenty-eight to fifteen. At the first noise keeps its lead, and the blur's network is still worse than its estimate. (One network each, so these have no interval. How the curves end after a hundred times as many images, nobody has measured here.)
#
# ### Quantise it and see
#
# The fifth network learnt from blurs in float32. Here it is beside the network for noise, which learnt from files. Each gets what it was trained for, and then the same pictures in the other precision, of which nobody tells it. **What does that cost the noise, and what the blur?**

# %%
print("RMSE of the network".ljust(24), "as trained    other precision")
for name in ("noise", "blur, float32"):
    for t, rows in arms[name]["not told"].items():
        other = told(rows["network"]["rmse"])
        trained_for = told(arms[name]["restored"][t]["network"]["rmse"])
        print(f"{name:14s} t = {t:>2s}   {trained_for:>13s}  {other:>13s}")

# %% tags=["hide-cell", "check"]
for t, rows in arms["noise"]["not told"].items():
    both = (
        r["network"]["rmse"]["mean"] for r in (rows, arms["noise"]["restored"][t])
    )
    assert abs(next(both) - next(both)) < 0.0005
for t, rows in arms["blur, float32"]["not told"].items():
    assert 0.55 < rows["network"]["rmse"]["mean"] < 0.7
    assert arms["blur, float32"]["restored"][t]["network"]["rmse"]["mean"] < 0.13
assert 0.55 > 2 * arms["noise"]["expected"][-1]
assert arms["blur"]["matched"][2] == 7 and arms["blur, float32"]["matched"][2] == 14

# %% [markdown]
# Nothing, and everything. The errors of noise are the same to three digits. Those of the blur rise to about 0.6, more than twice that of the mean digit, and it does not matter how many blurs: its estimate divides by gains of a millionth what was rounded to a 255th. And where it was told, **seven blurs in a file hold as much as fourteen in float32**: those are the severities that were matched. A report of how well a network undoes a blur says little until it says how the blurred images were kept.
#
# ### Noise that is estimated, noise that is kept
#
# So far one call. Now Algorithm 2 with up to five, from the same severities. For noise there are two ways: estimate $z$ anew in each call, by `D.infer`, which is DDIM; or tell the sampler the $z$ that was drawn, as in the paper's variant with fixed noise. R is told in neither. **By how much will the end be off, if R errs by $e$ in each call?**

# %%
for name, arm in arms.items():
    for t, way in arm["walks"].items():
        direct = arm["restored"][t]["network"]["rmse"]["mean"]
        rest = {key: v["mean"] for key, v in way.items() if key != "calls"}
        cells = ", ".join(f"{key} {v:.3f}" for key, v in rest.items())
        print(
            f"{name:14s}{t:>3s}: direct {direct:.3f}; {way['calls']} calls: {cells}"
        )

# %% tags=["hide-cell", "check"]
ends = {
    name: {
        t: {k: v["mean"] for k, v in way.items() if k != "calls"}
        for t, way in arm["walks"].items()
    }
    for name, arm in arms.items()
}
one = lambda name, t: arms[name]["restored"][t]["network"]["rmse"]["mean"]
for t, way in ends["noise"].items():
    assert abs(way["estimated"] - one("noise", t)) < 0.008
    assert way["fixed"] < 0.6 * way["estimated"]
assert ends["noise"]["2"]["fixed"] < 0.0015
assert 0.09 < ends["noise"]["15"]["fixed"] < 0.097
assert abs(one("blur", "7") - 0.137) < 0.003
begun = lambda name, t: arms[name]["restored"][t]["linear"]["rmse"]["mean"]
assert f'{begun("blur", "7"):.3f} {begun("noise", "15"):.3f}' == "0.172 0.166"
assert abs(ends["blur"]["7"]["Algorithm 2"] - 0.165) < 0.002
assert abs(ends["noise"]["15"]["estimated"] - 0.168) < 0.002
assert abs(one("mask", "17") - 0.163) < 0.003
assert abs(ends["mask"]["17"]["Algorithm 2"] - 0.141) < 0.002
for t, way in ends["mask"].items():
    assert way["Algorithm 2"] < 0.9 * one("mask", t)
by_five = {name: list(way.values())[-1] for name, way in ends.items()}
by_five["noise"] = {"estimated": by_five["noise"]["estimated"]}
lowest = {name: min(way.values()) for name, way in by_five.items()}
assert min(lowest, key=lowest.get) == "mask"
a = ways["noise"][0].exact["a"]
assert abs((1 - a[2].item()) - 0.02) < 0.01

# %% [markdown]
# Enormously, and not because the sampler is clever. Whoever knows $z$ and $x_t$ knows the image. Chapter 5 says what Algorithm 2 makes of it: the end is off by the *sum of* $(a_r - a_s)\, e_s$, and for slight noise these weights add up to almost nothing. It is the subtraction from above, done by instalments, and no rival of the rest. Estimated noise ends where one call ends, within a hundredth.
#
# But look at the others. Five calls cost the blur most of its lead: at the last level it goes from 0.137 to 0.165, beside 0.168 for noise (the best linear estimates, from which they are counted, stood at 0.172 and 0.166). Chapter 4 has seen that, too. The mask *gains* by several calls at every level, from 0.163 to 0.141 at the last, and by five calls no other way comes as low. So the last level has one order by one call and another by five. "Harder to undo" is said of a degradation; it
# is a property of a degradation, a precision, a network, its training and a sampler.
#
# ## Generation
#
# Restoring asks for *this* image, generating for *an* image, and there the two sides start from quite different things. Hot diffusion draws 1,024 numbers that mean nothing. Cold diffusion draws the few numbers that survive the blur, from a mixture that was fitted to real digits ([chapter 6](06_generation.ipynb)). Both get the same network, the same number of images and at most 20 calls, and a search of
# as many trials: four recipes, then four ways to draw (20 calls or 3, at temperature 1 or 0.8: ideas of chapter 6, where they helped the cold side), judged on held-out training images. Then three networks each, judged on the test images.

# %%
hot, cold = arms["noise"]["generation"], arms["blur, float32"]["generation"]
rows = {
    "hot, z estimated": hot["best"],
    "hot, z kept": hot["fixed z"],
    "cold": cold["best"],
    "cold, 8-bit start": cold["8-bit start"],
}


def rough(found, digits):
    low, high = found["interval"]
    return f"{found['mean']:.{digits}f}±{(high - low) / 2:.{digits}f}"


keys = ("recognised", "entropy", "frechet", "precision", "recall")
print(" " * 17 + "".join(f"{key[:9]:>11s}" for key in keys))
for name, row in rows.items():
    cells = [rough(row[key], 1 if key == "frechet" else 2) for key in keys]
    print(name.ljust(17) + "".join(f"{cell:>11s}" for cell in cells))
real = "".join(f"{hot['real'][key]:11.2f}" for key in keys)
print("training digits".ljust(17) + real)

# %% tags=["hide-cell", "check"]
v = {name: {key: row[key]["mean"] for key in keys} for name, row in rows.items()}
inside = {
    name: {key: row[key]["interval"] for key in keys} for name, row in rows.items()
}
assert (
    0.78 < v["cold"]["recognised"] < 0.84
    and 0.27 < v["hot, z estimated"]["recognised"] < 0.33
)
assert 5 < v["cold"]["frechet"] < 7 and 22 < v["hot, z estimated"]["frechet"] < 27
assert inside["cold"]["frechet"][1] < inside["hot, z estimated"]["frechet"][0]
assert (
    inside["hot, z estimated"]["recall"][0]
    < v["cold"]["recall"]
    < inside["hot, z estimated"]["recall"][1]
)
kept, estimated = rows["hot, z kept"], rows["hot, z estimated"]
for key, sign in (("recognised", 1), ("entropy", -1)):
    both = zip(kept[key]["values"], estimated[key]["values"], strict=True)
    assert all(sign * (a - b) > 0 for a, b in both)
assert [round(10**h) for h in kept["entropy"]["values"]] == [1, 3, 4]
assert 0.22 < v["cold"]["frechet"] / v["hot, z estimated"]["frechet"] < 0.28
assert v["hot, z kept"]["recall"] < 0.12
assert (
    v["cold, 8-bit start"]["frechet"] > 50
    and v["cold, 8-bit start"]["recall"] < 0.005
)
assert hot["chosen"].startswith("20 calls") and cold["chosen"].startswith("3 calls")
assert len(hot["draws"]) == len(cold["draws"]) == 4 and hot["recipe"].startswith(
    "l2"
)
before = results.load("generation-mnist")
assert before["networks"]["hot"]["images_seen"] == 15 * seen
long_hot = next(
    row for row in before["attempts"] if row["attempt"] == "hot, 50 calls"
)
assert before["networks"]["hot"]["loss"] == "l2"
assert 0.7 < long_hot["recognised"] < 0.76
best = next(
    row
    for row in before["attempts"]
    if "temperature 0.75, 3 calls" in row["attempt"]
)
assert long_hot["recall"] > best["recall"]

# %% tags=["hide-input", "plot"]
results.picture(
    "blur-or-noise-new",
    alt="Two rows of eight generated digits. Hot: blots and pieces of strokes, one "
    "or two of them like a digit. Cold: seven digits that can be read, and one "
    "broken shape.",
)

# %% [markdown]
# At this cost, and in this grid, there is no contest. Four in five of the cold digits are recognised, three in ten of the hot ones, and the cold distance is a quarter of the hot one. Their recall cannot be told apart: the hot one's three values lie too far from each other.
#
# *Hot, z kept* is the paper's fixed noise. In each of three trainings more of its images are recognised than with noise estimated, and the entropy says why: they are of fewer kinds. One, three and four digits, evenly frequent, would have the entropies of the three. Chapter 5 has the reason: with a kept $z$ that R does not see every image ends as a mixture of predictions, and mixtures of digits are alike. *Cold, 8-bit start* is the other side's catastrophe. The start spans two or three levels of a file, and what comes back are fragments.
#
# Is generation from blur the easier task, then? **The two were not given the same task.** The cold start brings nine numbers that say which digit it will be, from a mixture that was fitted to thousands of real ones; hot has to make all that up. And the budget was small. In chapter 6 a larger hot network that saw fifteen times as many images makes digits of which nearly three in four are recognised, and covers more of the real ones than the best cold row. What is measured here is who is quicker.
#
# ## So: is blur harder to undo than noise?
#
# As it is asked, the question has no answer, for five reasons, each of them measured above:
#
# - **The clocks are not comparable.** Half of $T$ is nothing. Compare at equal errors of the best linear estimate.
# - **The currency decides.** At equal linear error blur is ahead where much is lost; at equal bits noise ends nearer, since it begins nearer.
# - **Precision decides what a blur leaves.** Seven blurs in a file or fourteen in float32; in exact arithmetic it leaves everything. Noise does not care how fine the levels are.
# - **Noise that is known is none.**
# - **One call or five:** with Algorithm 2 the blur's lead is all but gone, and by five calls the mask comes first.
#
# Made precise it has one. *MNIST, 8-bit files, equal linear error, one small network, 38,400 images, one call, squared error*: strong noise is harder to undo than strong blur, by a lot. At the slight end we cannot tell, since the networks for blur do not even keep what they are handed. Trained longer, blur leads at the middle, too. Among the cold ways pixels and the mask lie between the two. In generation, at this cost, the cold side is far ahead, with a start that knows more.
#
# What has not been shown: photographs, whose detail follows less from their coarse shapes; networks that see millions of images; recipes beyond four. `python -m coldlab reproduce blur-or-noise` makes all of it again.

# %% [markdown]
# ## What goes wrong
#
# **Taking a file for a float.** The estimate for float32 divides by gains down to millionths. Give it the same picture from a file, whose pixels are wrong by a third of a level, and it divides those errors, too:

# %%
D, _ = ways["blur"]
x, _ = matched.degraded(D, matched.FILE, x0, 8)
believed = linear["blur, float32"](x.double(), 8).float()
known = linear["blur"](x.double(), 8).float()

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
plots.rows(
    {"from a file": x, "taken for float32": believed, "taken for a file": known},
    alt="Eight blurred digits, grey squares. Taken for float32 they become black "
    "and white blots; taken for what they are, soft digits.",
)

# %% tags=["hide-cell", "check"]
truth = to_unit(x0)
wrong, right = (metrics.rmse(to_unit(v), truth).item() for v in (believed, known))
assert wrong > 0.4 or SIZE < 32
if (DATASET, SIZE) == ("digits", 32):
    assert right < 0.17

# %% [markdown]
# A network that was trained on floats and meets files fails in the same way; the MNIST table above shows it.
#
# **A covariance from too few images.** A thousand pixels have half a million covariances. From a hundred images one learns that nothing exists but those hundred and their mixtures, and the formula believes it: its expected error is far too small.

# %%
few = matched.moments(images[:100])
D, how = ways["pixelate"]
G, c, expected = matched.wiener(D, 2, *few, matched.ROUNDING[how])
x, _ = matched.degraded(D, how, to_float(test), 2)
guess = (x.double().flatten(1) @ G.T + c).reshape(x.shape).float()
measured_few = metrics.rmse(to_unit(guess), to_unit(test)).item()
print(f"from 100 images: expected {expected:.2f}, on test images {measured_few:.2f}")
told, guess = linear["pixelate"].rmse[2], linear["pixelate"](x.double(), 2).float()
found = metrics.rmse(to_unit(guess), to_unit(test)).item()
print(f"from all: expected {told:.2f}, on test images {found:.2f}")

# %% tags=["hide-cell", "check"]
if (DATASET, SIZE) == ("digits", 32):
    assert expected < 0.6 * measured_few
    assert abs(told - found) < 0.006

# %% [markdown]
# So match on images that the covariance has not seen, or look whether both agree. With all training digits they do.
#
# ## Exercises
#
# > **Exercise 1.** "Half way" deserves a meaning: the severity at which the linear error is half that of the mean image. Guess it for each of the five ways, in shares of $T$. Then compute it.

# %% tags=["hide-cell", "solution"]
middle = {name: matched.nearest(linear[name].rmse, nothing / 2) for name in ways}
for name, t_half in middle.items():
    T = ways[name][0].T
    print(f"{name:14s} t = {t_half:2d} of {T:2d}")
if (DATASET, SIZE) == ("digits", 32):
    assert middle["blur"] <= 5 and 11 <= middle["noise"] <= 13
    assert middle["blur, float32"] > 2 * middle["blur"]

# %% [markdown]
# > **Exercise 2.** Noise is known to the sampler, but $z$ was saved in steps of 2/255, as far out as it goes. How large is the error of the subtraction now, at $t = 15$? Predict it from $a_t$, $b_t$ and the size of a level, then measure.

# %% tags=["hide-cell", "solution", "nbval-ignore-output"]
D, _ = ways["noise"]
a, b = D.exact["a"][15].item(), D.exact["b"][15].item()
x, z = matched.degraded(D, matched.FLOAT, to_float(test), 15)
saved = matched.rounded(z.double(), matched.FILE)
off = ((x.double() - b * saved) / a - to_float(test)).square().mean().sqrt().item()
predicted = b / a * matched.STEP / 12**0.5  # the error of rounding
print(f"predicted {predicted:.5f}, measured {off:.5f}")
assert abs(off / predicted - 1) < 0.02
# Less than a level of a picture: nobody would see it. Noise that is known so well is
# no noise.

# %% [markdown]
# > **Exercise 3.** "Rounding is noise." Put white noise of the same size in the place of the rounding of a blurred picture, and restore both with the same linear estimate. Then say how many bits noise ten times as strong is worth, and check it with `error_with`.

# %% tags=["hide-cell", "solution", "nbval-ignore-output"]
D, _ = ways["blur"]
x = D(to_float(test).double(), 8)
draw = torch.Generator().manual_seed(0)
white = torch.randn(x.shape, generator=draw, dtype=x.dtype)
size = matched.ROUNDING[matched.FILE]
both = {
    "rounded": matched.rounded(x, matched.FILE),
    "white noise": x + size * white,
}
for name, seen in both.items():
    guess = linear["blur"](seen, 8).float()
    both[name] = metrics.rmse(to_unit(guess), to_unit(test)).item()
    print(f"{name:12s} {both[name]:.4f}")
fewer = 8 - torch.log2(torch.tensor(10.0)).item()  # a bit less, twice the noise
tenfold = matched.wiener(D, 8, mean, cov, 10 * size)[2]
as_bits = error_with("blur", 8, fewer)
print(f"noise x 10: {tenfold:.4f}; {fewer:.1f} bits: {as_bits:.4f}")
assert abs(both["rounded"] / both["white noise"] - 1) < 0.03 or SIZE < 32
assert abs(tenfold / as_bits - 1) < 0.01

# %% [markdown]
# > **Exercise 4.** The best linear estimate is linear in $x_t$, and its result is clamped to $[0, 1]$ before it is judged. Does the clamping matter? Predict for noise at $t = 15$ whether it lowers the error or raises it, and by how much.

# %% tags=["hide-cell", "solution", "nbval-ignore-output"]
D, how = ways["noise"]
x, _ = matched.degraded(D, how, to_float(test), 15)
guess = linear["noise"](x.double(), 15)
plain = (guess - to_float(test)).square().mean().sqrt().item() / 2
clamped = metrics.rmse(to_unit(guess.float()), to_unit(test)).item()
print(f"as it is {plain:.3f}, clamped {clamped:.3f}")
# The truth lies in the range, so that moving a guess into it never moves it away.
assert clamped < plain
if (DATASET, SIZE) == ("digits", 32):
    assert plain - clamped < 0.01

# %% [markdown]
# ## Recap
#
# - To compare two degradations, match them by what they leave, not by $t$. The error of the best linear estimate is one currency, bits of a Gaussian another; they do not agree, and who wins depends on it.
# - What a network takes off that error is what it knows about images beyond their covariance.
# - A blur destroys nothing; a blur and a little noise does, and rounding is a little noise. Say how many bits an $x_t$ has.
# - On MNIST, at equal linear error and cost, noise is the harder where much is lost. (On the digits, at equal bits, it was the easier.) A blur leaves the coarsest waves nearly exact, and these pin down the rest; noise leaves nothing exact.
# - Noise that is known is no damage; kept by the sampler in generation it costs variety.
# - A cold start that was fitted to real digits makes digits soon; hot diffusion, which has to make up everything, needs more training.
#
# **Further reading.** A. Bansal et al., [Cold Diffusion](https://arxiv.org/abs/2208.09392), sections 4 and 5. S. Rissanen, M. Heinonen, A. Solin, [Generative Modelling with Inverse Heat Dissipation](https://arxiv.org/abs/2206.13397): a blur and a little noise, on purpose. E. Hoogeboom, T. Salimans, [Blurring Diffusion Models](https://arxiv.org/abs/2209.05557): blur and noise as one process. G. Daras et al.,
# [Soft Diffusion](https://arxiv.org/abs/2209.05442): any linear degradation with noise, and how to choose its clock. N. Wiener, *Extrapolation, Interpolation, and Smoothing of Stationary Time Series*, 1949.
