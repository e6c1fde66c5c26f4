# %% [markdown]
# # Degradations
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/coldlab/blob/main/book/01_degradations.ipynb)
#
# **After this chapter you can** write a degradation D of your own, see what each severity of it destroys, and measure
# what is left: singular values, RMSE and SSIM against the severity.
#
# **You need** Python, a little PyTorch (tensors, shapes), and matrix products; singular values, if you have met them, help. Nothing of diffusion models.
#
# **It takes** 40 minutes to read; the cells run in about 10 s on one core of a recent CPU, measured. No
# GPU.

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

# %% [markdown]
# Cold diffusion (Bansal et al., 2023; "the paper" from here on) undoes a **degradation** step by step: a blur, a mask,
# a fall of snow. Before anything can be undone, we need to know what was done. This chapter is about D, the thing that
# ruins images, and about how much of an image is really gone.
#
# Everything below runs on real handwritten digits that come with scikit-learn, enlarged to 32 x 32. Change `DATASET`
# to `"mnist"`, `"cifar10"`, or the path of a folder with your own images, and run the chapter again.

# %%
import inspect

import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_images

from coldlab import (
    ColdlabError,
    data,
    degradations,
    metrics,
    plots,
    presets,
    sampling,
    widgets,
)
from coldlab.degradations import base, kernels
from coldlab.data import to_float, to_uint8, to_unit
from coldlab.degradations import make

DATASET = "digits"

train_images, train_labels = data.load(DATASET, "train", size=32)
test_images, test_labels = data.load(DATASET, "test", size=32)
# enough for every measurement below
train_images, test_images = train_images[:1500], test_images[:300]
print("train", tuple(train_images.shape), train_images.dtype)
print("test ", tuple(test_images.shape), test_images.dtype)

x_train = to_float(train_images)  # float32 in [-1, 1]: what a degradation works on
x_test = to_float(test_images)
x0 = x_test[:8]  # eight images to look at
if test_labels is None:
    print("no labels: there is nothing to recognise, and the shares below are nan")

# %% [markdown]
# ## A puzzle first
#
# Here are eight test digits under the blur that the code of the paper's authors (the **official code**) uses for the
# digits of MNIST. The top row is blurred $t = 20$ times, the bottom row once. Cover the picture with your hand and
# uncover it row by row from the top. **Write down the $t$ at which you can first name most of the digits.**
#
# Then guess a second number. A **nearest-neighbour classifier** names a digit after the training digit whose pixels
# are closest to it. It has no eyes and no cleverness. At which t does it do no better than chance, one in ten?

# %%
D = make("blur", 32)  # Gaussian blur, T = 20 severities

# %% tags=["hide-input", "plot"]
plots.rows(
    {f"t = {t}": D(x0, t) for t in (20, 10, 7, 5, 3, 2, 1)},
    alt="Seven rows of the same eight digits, from t = 20 at the top to t = 1 at "
    "the bottom. The top row is flat dark grey, the rows at 10, 7 and 5 show "
    "pale blobs, the rows at 3 and 2 blobs with hints of strokes, and in the "
    "last row many digits can be guessed.",
)

# %% [markdown]
# At t = 1 many digits can be guessed. At t = 3 their strokes have run together, at t = 10 there is a grey smudge, and
# at t = 20 not even that.
#
# Now the classifier. We ask it in two ways. *Clean gallery*: the blurred test digit is compared with sharp training
# digits. *Gallery blurred alike*: the training digits are blurred by the same D at the same t before the comparison.


# %% tags=["nbval-ignore-output"]
def accuracy(gallery, queries):
    """Share of test images whose nearest training image, pixel by pixel, has their
    label."""
    if test_labels is None:  # a folder without classes
        return float("nan")
    distances = torch.cdist(queries.flatten(1), gallery.flatten(1))
    nearest = distances.argmin(1)  # (N,): which training image
    right = train_labels[nearest] == test_labels[: len(queries)]
    return right.float().mean().item()


severities = range(D.T + 1)
clean = [accuracy(x_train, D(x_test, t)) for t in severities]
alike = [accuracy(D(x_train, t), D(x_test, t)) for t in severities]
print("clean gallery:        ", [round(clean[t], 2) for t in (0, 1, 2, 5, 10, 20)])
print("gallery blurred alike:", [round(alike[t], 2) for t in (0, 1, 2, 5, 10, 20)])

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    assert clean[0] > 0.9  # sharp digits are easy
    assert clean[1] < 0.6  # one blur halves the score
    assert clean[20] < 0.2  # twenty leave chance
    # the same pixels, compared with their like, still hold the answer
    assert alike[20] > 0.4

# %% tags=["hide-input", "plot"]
plots.curves(
    {
        "clean gallery": (severities, clean),
        "gallery blurred alike": (severities, alike),
        "chance": (severities, [0.1] * 21),
    },
    alt="Share of digits recognised against t. With a clean gallery the curve "
    "drops from 0.94 to 0.5 at t = 1 and reaches chance, 0.1, near t = 12. "
    "With a gallery blurred alike it falls slowly, from 0.94 to 0.5 at t = 20.",
    xlabel="severity t",
    ylabel="digits recognised",
)

# %% [markdown]
# The two curves look at the same blurred pixels. One says that the digits are gone. The other says that half of them
# can still be named at t = 20, in pictures that your eye calls flat grey.
#
# Why does the first fail? Against sharp digits a grey smudge is compared by its grey alone. At t = 20 all 297 test
# digits choose the very same training digit. It is a 0, and every 0 counts as a success.

# %%
nearest = torch.cdist(D(x_test, D.T).flatten(1), x_train.flatten(1)).argmin(1)
chosen = nearest.unique()
if DATASET == "digits":
    print("test digits:", len(x_test))
    print("training digits that they choose:", len(chosen))
    print("it is a", train_labels[chosen].item())

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    assert len(chosen) == 1

# %% [markdown]
# So the eye and a classifier made for sharp digits answer the wrong question. They measure what has become *hard to
# see*. We want to know what has become *impossible to know*. That is the question that a restoration network faces,
# and the rest of the chapter answers it.

# %% [markdown]
# ## What a degradation is
#
# A **degradation** is a function $x_t = D(x_0, t, z)$. $x_0$ is a batch of clean images, $t$ is the **severity**, a
# whole number from 0 to $T$, and $z$ is everything random in it (none for a blur). It makes four promises:
#
# 1. The shape stays.
# 2. $D(x_0, 0, z) = x_0$, bit for bit. Severity 0 is the clean image, not nearly the clean image.
# 3. $t$ may be one number for the batch, or one number per image. The result is the same.
# 4. Given $z$, D is deterministic. Two calls give the same bits.
#
# The blur keeps them. (*Check*, below the next cell, tests all four.)

# %%
t = torch.tensor([0, 1, 2, 3, 5, 10, 15, 20])[: len(x0)]  # one severity per image
x_t = D(x0, t)
print(tuple(x0.shape), "->", tuple(x_t.shape))

# %% tags=["hide-cell", "check"]
one_by_one = torch.cat([D(x0[i : i + 1], int(t[i])) for i in range(len(x0))])
assert x_t.shape == x0.shape  # 1
assert torch.equal(D(x0, 0), x0)  # 2, equal in every bit
assert torch.allclose(x_t, one_by_one, atol=1e-6)  # 3
assert torch.equal(D(x0, t), x_t)  # 4

# %% [markdown]
# Promise 3 is what training needs: every image of a batch gets its own severity. Move the slider to see all severities
# of the blur. (On GitHub, where pages cannot move, you see the film strip instead. In a live kernel, in Colab or Jupyter,
# run `widgets.live(D, x0)`: it has D's settings as well, and takes a picture of yours.)

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
widgets.explore(
    D,
    x0,
    alt="Eight digits under blur; the slider moves t from 0, sharp digits, to 20, "
    "flat grey squares.",
    start=2,
)

# %% [markdown]
# ## The family
#
# Blur is one of many. The package makes each by its name, as `make("blur", 32)` did above:
#
# | name | $x_t$, and $z$ if there is one |
# |---|---|
# | blur | $A_t\, x_0\, A_t^\top$, one more blur per step |
# | pixelate | $A_t\, x_0\, A_t^\top$, half the resolution per step |
# | mask | $F_t\, x_0$, pixel by pixel; a hole grows; $z$: where it is |
# | snow | $2 c - 1$, $c = \mathrm{clip}(o + S_t + S_t', 0, 1)$, $o = (x_0 + 1)/2$; $z$: the flakes $S_t$, $S_t'$ |
# | fade | $(1 - w_t)\, x_0 + w_t\, z$; a disc shrinks; $z$: one colour |
# | desaturate | $a_t\, x_0 + (1 - a_t)\, m$ with $m$ the mean of the three channels |
# | noise | $\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, z$; $z$: Gaussian noise |
# | animorph | as noise; $z$: another image |
# | compose | several of these, one after the other; one $z$ per part |
#
# Read the table loosely for now. $A_t$ is a matrix; $F_t$ and $w_t$ are pictures of numbers between 0 and 1, and
# multiply pixel by pixel; $a_t$ and $\bar\alpha_t$ are single numbers between 0 and 1. None depends on the image.
# ($S_t'$ is $S_t$ turned by 180 degrees. The settings of the paper's experiments are in `coldlab.presets`; the blur
# above is one of them.)
#
# Look at the digits first. Each row is one degradation, from clean on the left to $T$ on the right.


# %%
def quarters(D, images, which, seed=0):
    """One of the images at t = 0, T/4, T/2, 3T/4, T, with one z: (5, C, H, W)."""
    z = D.draw(images, torch.Generator().manual_seed(seed))
    return torch.stack([D(images, round(D.T * i / 4), z)[which] for i in range(5)])


names = ["blur", "pixelate", "mask", "snow", "fade", "noise", "animorph"]
names += ["desaturate"] if x0.shape[1] == 3 else []  # it needs colours
family = {name: make(name, 32) for name in names if name != "fade"}
# the default of fade, T = 750, is for large images
family["fade"] = make("fade", 32, T=100, kernel_std=0.1)

print({name: D_.T for name, D_ in family.items()})

# %% tags=["hide-input", "plot"]
plots.rows(
    {name: quarters(D_, x0, 3) for name, D_ in family.items()},
    title="t = 0, T/4, T/2, 3T/4, T",
    scale=2,
    alt="Rows of one digit 6, clean on the left. Blur ends in flat grey, pixelate "
    "in a few large squares, mask with a grey disc over part of the picture, "
    "snow in white streaks, noise in grains, animorph in another digit. Fade "
    "leaves a shrinking disc of the picture on one grey.",
)

# %% tags=["hide-cell", "check"]
assert {*names, "desaturate", "compose"} <= set(degradations.REGISTRY)
# the paper's blur of MNIST is our D
assert torch.equal(presets.PRESETS["mnist-blur"].build().A, D.A)

# %% [markdown]
# Read three things in it. The *mask* is grey, not black: "masked" means the value 0, and in $[-1, 1]$ zero is
# mid-grey. Black would be $-1$. *Pixelate* has only three steps, so two of its columns are the same. *Fade* and *mask*
# are built from the same holes: the mask loses the middle of its hole first, the fade loses it last.

# %%
mask, pixelate = family["mask"], family["pixelate"]
z = mask.draw(x0, torch.Generator().manual_seed(0))
middle = mask(x0, mask.T, z).abs().amin((1, 2, 3))  # nearest to 0 in each image
print("a masked pixel is 0 to 1e-3:", (middle < 1e-3).all().item())
print("which an 8-bit file writes as", to_uint8(torch.zeros(1)).item(), "of 255")

# %% tags=["hide-cell", "check"]
assert middle.max() < 1e-3  # masked is 0, mid-grey
# after two steps of pixelate every 4 x 4 block is its own mean
block = pixelate(x0, 2)[0, 0, :4, :4]
assert torch.allclose(block, x0[0, 0, :4, :4].mean().expand(4, 4), atol=1e-6)

# %% [markdown]
# Now a colour photograph. scikit-learn ships two: a pagoda and a flower. We crop the centre and resize it to 96 x 96.

# %%
SIDE = 96
files = sorted(load_sample_images().filenames)  # china.jpg, flower.jpg
photos = torch.cat([data.read_image(file, size=SIDE)[0] for file in files])
print("photos", tuple(photos.shape), photos.dtype)

photo_family = {
    "blur": make("blur", SIDE, kernel=27, padding="reflect"),
    "pixelate": make("pixelate", SIDE, T=4),
    "mask": make("mask", SIDE, kernel_std=0.3, initial_mask=1, centre="centred"),
    "snow": make("snow", SIDE),
    "fade": make("fade", SIDE, T=100, kernel_std=0.3),
    "desaturate": make("desaturate", SIDE),
    "noise": make("noise", SIDE),
    "animorph": make("animorph", SIDE),
}

# %% tags=["hide-input", "plot"]
plots.rows(
    {name: quarters(D_, photos, 1) for name, D_ in photo_family.items()},
    title="t = 0, T/4, T/2, 3T/4, T",
    scale=1,
    alt="Eight rows of a photograph of an orange flower, clean on the left. Blur "
    "dissolves it into brown and green, pixelate into squares, mask covers it "
    "with grey from the middle, snow with white streaks, fade leaves a "
    "shrinking disc on one colour, desaturate turns it grey, noise into "
    "coloured grains, animorph into the pagoda.",
)

# %% [markdown]
# The rows end in very different places. *Desaturate* at $T$ is still a fine photograph: two of three colour numbers
# per pixel are gone, every edge is there. *Animorph* at $T$ is a perfect picture of something else. *Blur* leaves soft
# patches; in *fade* and *noise* nothing is left to see.

# %% tags=["hide-cell", "check"]
# desaturate at T: the three channels agree
grey = photo_family["desaturate"](photos, 20)
assert (grey - grey.mean(1, keepdim=True)).abs().max() < 1e-6

# fade at T: one colour per photo, (2, 3)
fade = photo_family["fade"]
colour = fade.draw(photos, torch.Generator().manual_seed(0))
flat = colour[:, :, None, None].expand_as(photos)
assert torch.allclose(fade(photos, fade.T, colour), flat)

# animorph at T: the other image
morph, other = photo_family["animorph"], photos.flip(0)
assert (morph(photos, morph.T, other) - other).abs().max() < 1e-3

# %% [markdown]
# Two sliders: the photograph under blur, and under snow.

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
widgets.explore(
    photo_family["blur"],
    photos,
    scale=2.5,
    alt="The pagoda and the flower under blur; the slider moves t from 0, sharp, "
    "to 20, soft patches of colour.",
)

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
widgets.explore(
    photo_family["snow"],
    photos[:1],
    severities=range(0, 201, 20),
    scale=3,
    alt="The pagoda in snowfall; the slider moves t from 0, a clear day, to 200, "
    "where streaks hide most of it.",
)

# %% [markdown]
# ### Linear, affine, neither
#
# One property decides how much mathematics we can use on a D. It is **linear** if degrading a sum is the sum of the
# degraded: $D(x + y) = D(x) + D(y)$. It is **affine** if that holds for mixtures,
# $D(\tfrac12 x + \tfrac12 y) = \tfrac12 D(x) + \tfrac12 D(y)$: linear plus something that does not depend on the
# image, such as the noise itself. With $z$ given: which members of the family are linear, which affine, which
# neither? Guess, then look.

# %%
x, y = x0, x0.flip(0)  # eight images and eight others
kinds = {}
for name, D_ in family.items():
    t = -(-D_.T // 2)  # half way
    z = D_.draw(x0, torch.Generator().manual_seed(0))
    dx, dy = D_(x, t, z), D_(y, t, z)
    if torch.allclose(D_(x + y, t, z), dx + dy, rtol=0, atol=1e-5):
        kinds[name] = "linear"
    elif torch.allclose(D_((x + y) / 2, t, z), (dx + dy) / 2, rtol=0, atol=1e-5):
        kinds[name] = "affine"
    else:
        kinds[name] = "neither"
    print(f"{name:10} {kinds[name]}")

# %% tags=["hide-cell", "check"]
assert kinds["blur"] == "linear"
assert kinds["snow"] == "neither"

# %% [markdown]
# Snow is the odd one. Flakes are *added*, then the sum is *clipped* to white. A white stroke under a flake cannot
# become whiter, a black background can, so the effect of a flake depends on what lies beneath it. What was clipped
# cannot be computed back, and no matrix describes it.

# %% [markdown]
# ## Severity costs nothing
#
# The paper defines its blur by repetition: to reach severity $t$, convolve the image $t$ times. The official code does
# just that, for the whole batch, up to the largest $t$ in it.
#
# One look at the formula saves all of it. A Gaussian kernel is **separable**: blurring in two directions is blurring
# the columns and then the rows. A blur of the columns is a matrix product, $K x$, and of the rows, $x K^\top$. The
# matrix $K$ is a **band matrix**: row $i$ holds the kernel's weights around position $i$, and zeros elsewhere. Doing
# it $t$ times gives
#
# $$D(x_0, t) = \underbrace{K \cdots K}_{t}\; x_0\; \underbrace{K^\top \cdots K^\top}_{t} = A_t\, x_0\, A_t^\top,
# \qquad A_t = K A_{t-1}, \quad A_0 = I.$$
#
# The $A_t$ do not depend on the image. So they are computed once, when D is built, and stay in a table.

# %%
A = D.exact["A"]  # (T + 1, 32, 32), float64
print("table", tuple(A.shape))
entries = [int((A[t, 16] > 0).sum()) for t in range(5)]
print("non-zero entries in a row of A_t, t = 0..4:", entries)

# %% tags=["hide-input", "plot"]
pictures = [
    2 * A[t] / A[t].max() - 1 for t in (1, 5, 20)
]  # white: the largest entry
pictures = torch.stack(pictures)[:, None]
plots.strip(
    pictures,
    ["$A_1$", "$A_5$", "$A_{20}$"],
    scale=5,
    alt="Three square matrices as pictures. A 1 is a bright diagonal band, 11 "
    "pixels wide, that goes on in two corners; A 5 is a broad soft band; A 20 "
    "is almost evenly white.",
)

# %% tags=["hide-cell", "check"]
assert torch.equal(A[0], torch.eye(32, dtype=torch.float64))  # severity 0: nothing
assert torch.allclose(
    A[20], A[1] @ A[19], atol=1e-15
)  # a step: one more band matrix

# %% [markdown]
# $A_1$ is a band of 11 entries. It goes on in the corners because this blur is **circular**: what leaves on the right
# comes back on the left. In $A_5$ the band has spread over the whole row. In $A_{20}$ all entries are nearly $1/32$:
# every output pixel is nearly the mean of all input pixels.
#
# The line that applies it is the whole degradation. `at` looks up the table, for one $t$ or for one per image:

# %%
print(inspect.getsource(base.Separable.degrade).rstrip())

# %% [markdown]
# Is it really the same as $t$ convolutions in a row? Here they are, done the slow way in float64.

# %%
taps = kernels.gaussian_taps(kernel=11, std=7.0)  # (11,), sum 1
kernel = torch.outer(taps, taps)[None, None]  # (1, 1, 11, 11)


def convolve(x):
    """One circular blur of each channel."""
    x = F.pad(x.flatten(0, 1)[:, None], (5, 5, 5, 5), mode="circular")
    return F.conv2d(x, kernel).view(x0.shape)


x = x0.double()
gaps = []
for t in range(1, 21):
    x = convolve(x)  # x is now blurred t times
    gaps.append((D(x0, t) - x).abs().max().item())
print("twenty severities equal to 1e-6:", max(gaps) < 1e-6)

# %% tags=["hide-cell", "check"]
assert max(gaps) < 1e-6  # A_t x A_t^T in float32 = t convolutions in float64

# %% [markdown]
# And the work? Multiplications per pixel at severity $T$, for two blurs of the
# paper:

# %%
for name, size, width, T in [("digits", 32, 11, 20), ("faces", 128, 15, 200)]:
    squares, lines, fast = T * width**2, 2 * T * width, 2 * size
    print(f"{name}, {T} convolutions: {squares:,}")
    print(f"   one axis at a time: {lines:,}")
    print(f"   two matrix products: {fast}")

# %% [markdown]
# For the blur of the paper's faces, 128 x 128, the matrices do the work of 200 convolutions with 1/176 of the
# multiplications, or with 1/23 where each convolution is already split by axes. And severity 200 costs what severity 1
# costs: a batch of mixed severities is one look-up and two products.
#
# Pixelate is the same class with other matrices. A mask is a look-up in a table of products of holes. Applying a D of
# this package never loops over $t$.

# %% [markdown]
# ## What each severity destroys
#
# ### Singular values
#
# A matrix has its own directions. Along each of them it does one thing: it multiplies by a number, the **singular
# value**, which we call the **gain** $g$. (In full: $A_t = U\,\mathrm{diag}(g)\,V^\top$. Give $A_t$ the $i$-th column of
# $V$, and it returns the $i$-th column of $U$ times $g_i$.) Gain 1 means kept, gain 0 means gone, and $10^{-3}$ means that this pattern is still in the image, a
# thousand times paler.
#
# For a circular blur the directions are waves. Their gains are the Fourier transform of one row of $A_t$.

# %%
g = D.gains  # (21, 32): the gains of A_t, largest first
fourier = torch.fft.fft(A[:, 0]).abs()  # (21, 32): the same from one row
same = torch.allclose(fourier.sort(descending=True).values, g, atol=1e-12)
print("the same, in another order:", same)

# %% tags=["hide-input", "plot"]
kept = {f"t = {t}": g[t][g[t] > 1e-9] for t in (1, 2, 5, 10, 20)}
plots.curves(
    {label: (range(1, len(values) + 1), values) for label, values in kept.items()},
    logy=True,
    alt="Gains of A t, sorted, on a logarithmic axis down to 1e-9. At t = 1 all 32 "
    "lie above 1e-2. At t = 5 they fall to 1e-8, at t = 20 only 5 are above "
    "1e-9: one at 1, two at 0.025, two at 5e-8.",
    xlabel="gain number, largest first",
    ylabel="gain",
)

# %% tags=["hide-cell", "check"]
assert same  # the gains of a circular blur are Fourier's

# %% [markdown]
# The blur forgets waves, and mostly the short ones first. The first gain is always 1: it belongs to the mean. The next
# two belong to the longest wave, once as sine and once as cosine. At $t = 20$ they are 40 times paler. The others are
# as good as gone.
#
# "Mostly", because this kernel is nearly a box of 11 pixels. A wave with a period near 11 fits into it once, and a
# single blur averages it nearly to zero. On 32 pixels that is wave 3. It is weaker after one step than wave 4, which is
# shorter.

# %% tags=["hide-cell", "check"]
# wave 3 (period 10.7 pixels) suffers more than wave 4 (8 pixels)
assert fourier[1, 3] < fourier[1, 4] / 4
assert abs(fourier[20, 1] - 0.0251) < 1e-4  # the longest wave keeps 2.5 % at T

# %% [markdown]
# How many gains are above $10^{-3}$? Count them for blur and for pixelate, out of 32 for each axis:

# %%
g_pixelate = pixelate.gains  # (4, 32)
print("blur,     t = 0..20:", (g > 1e-3).sum(1).tolist())
print("pixelate, t = 0..3: ", (g_pixelate > 1e-3).sum(1).tolist())

# %% tags=["hide-cell", "check"]
# pixelate: every gain is 0 or 1
assert (torch.minimum(g_pixelate, (g_pixelate - 1).abs()) < 1e-9).all()
# blur: no gain of one step is 0, and t steps raise it to the power t
assert g[1].min() > 0.01
assert torch.allclose(g[1] ** 2, g[2], atol=1e-12)

# %% [markdown]
# The two differ in kind. **Pixelate deletes.** Each gain is 1 or 0; half of them go at each step, and the rest stays
# in full strength. **Blur whispers.** Each gain of $A_t$ is a gain of one step to the power $t$: it sinks and sinks,
# and is never zero, because none of this kernel's gains is. In exact arithmetic *this* blur destroys nothing at all, and
# could be undone. (A box of 8 pixels would: it averages a wave of 8 pixels to exactly zero.)
#
# ### What the digits of a float can hold
#
# Arithmetic is not exact. A number in a computer has a relative error $\varepsilon$: about $4 \cdot 10^{-3}$ in an
# 8-bit image file, where one level of 255 must do, $2 \cdot 10^{-6}$ in float32 after a few operations, $10^{-14}$ in
# float64. A pattern whose gain lies below $\varepsilon$ drowns in that error. A pattern above it can be had back:
# divide by the gain.
#
# In two dimensions a pattern is one direction down the image times one across. $A_t$ from the left multiplies it by
# $g_i$, $A_t^\top$ from the right by $g_j$: its gain is $g_i g_j$. So we can count: of 1,024
# numbers in a digit, how many are left?

# %%
precision = {"8 bits": 4e-3, "float32": 2e-6, "float64": 1e-14}


def numbers_left(D, t, eps):
    """How many of the size^2 patterns keep a gain above eps at severity t."""
    g = D.gains[t]
    return int((g[:, None] * g[None, :] > eps).sum())


left = {}
for name, eps in precision.items():
    left[name] = [numbers_left(D, t, eps) for t in severities]
    print(f"{name:8}", {t: left[name][t] for t in (5, 10, 20)})

# %% tags=["hide-input", "plot"]
plots.curves(
    {name: (severities, counts) for name, counts in left.items()},
    logy=True,
    alt="Numbers left of 1,024 against t, on a logarithmic axis, for three "
    "precisions. At t = 20 8 bits has fallen to 5, float32 to 9, float64 to "
    "21. The float64 curve lies far above the others.",
    xlabel="severity t",
    ylabel="numbers left of 1,024",
)

# %% [markdown]
# By this count an 8-bit file holds 5 numbers of the digit at $t = 20$, float32 holds 9, float64 holds 21. The same D,
# the same digit. **What a severity destroys depends on the digits that you keep.** The count belongs to our
# $\varepsilon$, which includes the errors of the arithmetic. It can be tested: predict the strength of each of the 1,024
# patterns in $x_0$ from its strength in $x_T$ by a straight line, over all training digits. For 5, 9 and 25 of them the
# line explains nine tenths of the variance (*Check*). So the count is right, or a little cautious.

# %% tags=["hide-cell", "check"]
U, _, Vt = torch.linalg.svd(A[20])
in_x0 = (Vt @ x_train.double() @ Vt.mT).flatten(1).T  # (1024, N)
read = {
    "8 bits": to_float(to_uint8(D(x_train, 20))),
    "float32": D(x_train, 20),
    "float64": D(x_train.double(), 20),
}
for name, x_T in read.items():
    in_xT = (U.mT @ x_T.double() @ U).flatten(1).T
    pairs = torch.stack([in_x0, in_xT], 1)  # (1024, 2, N)
    r = torch.stack([torch.corrcoef(pair)[0, 1] for pair in pairs])
    read[name] = int((r**2 > 0.9).sum())
print(read)
if DATASET == "digits":
    assert list(read.values()) == [5, 9, 25]
    assert [counts[20] for counts in left.values()] == [5, 9, 21]

# %% [markdown]
# One number comes three times: 21, for 8 bits at $t = 5$, for float32 at $t = 10$, for float64 at $t = 20$. They are the
# same 21 patterns, those with the largest gains. These can be had back, and the picture should be the same three times. `D.inverse` does the division. It multiplies each
# pattern by $g / (g^2 + \varepsilon^2)$. Where the gain is far above $\varepsilon$, that is $1 / g$. Where it is far
# below, it is nearly 0: such a pattern is not left as it is, it is set to zero. Last, the pixels are clamped to
# $[-3, 3]$. By hand, by the library, and then the three:

# %%
U, g20, Vt = torch.linalg.svd(A[20])  # A_20 = U diag(g20) Vt
g2 = g20[:, None] * g20[None, :]  # (32, 32): the gain of each pattern
seen = U.mT @ D(x0.double(), 20) @ U  # what x_T holds of each pattern
by_hand = Vt.mT @ (seen * g2 / (g2**2 + 4e-3**2)) @ Vt
library = D.inverse(D(x0.double(), 20), 20, eps=4e-3)
print("equal to 1e-9:", torch.allclose(by_hand.clamp(-3, 3), library, atol=1e-9))

from_8_bits = D.inverse(to_float(to_uint8(D(x0, 5))), 5, eps=4e-3)
from_float32 = D.inverse(D(x0, 10), 10, eps=2e-6)
from_float64 = D.inverse(D(x0.double(), 20), 20, eps=1e-14)

# %% tags=["hide-input", "plot"]
plots.rows(
    {
        "8 bits, t = 5": from_8_bits,
        "float32, t = 10": from_float32,
        "float64, t = 20": from_float64,
        "clean": x0,
    },
    alt="Four rows of eight digits. The first three rows, restored from 8 bits at "
    "t = 5, float32 at t = 10 and float64 at t = 20, are soft shapes and look "
    "alike; some can be read. The last row shows the sharp digits.",
)

# %% tags=["hide-cell", "check"]
assert left["8 bits"][5] == left["float32"][10] == left["float64"][20] == 21
assert torch.allclose(by_hand.clamp(-3, 3), library, atol=1e-9)
# far below eps the factor is nearly 0: most of the 1,024 are set to zero
factor = (g2 / (g2**2 + 4e-3**2))[g2 < 1e-4 * 4e-3]
assert len(factor) > 1000 and factor.max() < 0.03
# three precisions, one picture
assert metrics.rmse(to_unit(from_float32), to_unit(from_float64)) < 0.03
assert metrics.rmse(to_unit(from_8_bits), to_unit(from_float64)) < 0.05

# %% [markdown]
# Three rows, one picture. Twenty-one numbers make a soft digit, and some of them can be read. The third row came out
# of what your eye called flat grey.
#
# ### RMSE and SSIM
#
# Two measures of damage compare the degraded image with the clean one. **RMSE** is the root of the mean squared
# difference of the pixels, in $[0, 1]$: 0 is equal. **SSIM** compares means, contrasts and patterns in small windows:
# 1 is equal, near 0 is unrelated. Both are in the paper's tables. Both want images in $[0, 1]$, so we clamp with
# `to_unit`. Here they are for six of the family, over $t/T$.

# %%
some = x_test[:64]
damage = {}
for name in ("blur", "pixelate", "mask", "snow", "fade", "noise"):
    D_ = family[name]
    z = D_.draw(some, torch.Generator().manual_seed(0))
    ts = sorted({round(D_.T * i / 20) for i in range(21)})  # of the blur each t
    pairs = [(to_unit(D_(some, t, z)), to_unit(some)) for t in ts]
    errors = [metrics.rmse(*pair) for pair in pairs]
    likeness = [metrics.ssim(*pair) for pair in pairs]
    damage[name] = ([t / D_.T for t in ts], errors, likeness)

# %% tags=["hide-cell", "check"]
for _, errors, likeness in damage.values():  # at t = 0 nothing is lost
    assert errors[0] == 0
    assert likeness[0] > 1 - 1e-9

# %% tags=["hide-input", "plot"]
plots.curves(
    {name: (over, errors) for name, (over, errors, _) in damage.items()},
    alt="RMSE against t over T for six degradations, all from 0. Blur jumps to "
    "0.24 in its first step and then creeps to 0.36. Mask and pixelate rise "
    "steadily to 0.27, snow to 0.37, fade to 0.49, noise to 0.6.",
    xlabel="t / T",
    ylabel="RMSE",
)

# %% tags=["hide-input", "plot"]
plots.curves(
    {name: (over, values) for name, (over, _, values) in damage.items()},
    alt="SSIM against t over T for six degradations, all from 1. Blur drops to "
    "0.22 in its first step and to 0 from there. Noise and fade fall steadily "
    "to 0, pixelate ends at 0.2, snow and mask at about 0.5.",
    xlabel="t / T",
    ylabel="SSIM",
)

# %% [markdown]
# Mask and snow keep an SSIM of one half to the end: part of the picture stays as it was. Noise goes furthest by RMSE.
# And the line of blur is the odd one. RMSE says that the first of twenty blurs does more than half of the damage, and
# that the last ten do almost nothing; SSIM is near 0 before half of the way. The count of numbers says otherwise:
# between $t = 10$ and $t = 20$ float32 loses 12 of its last 21 numbers.

# %% tags=["hide-cell", "check"]
blurred = damage["blur"][1]  # RMSE at t = 0..20
assert blurred[1] > blurred[20] / 2  # the first blur does more than half
assert blurred[20] - blurred[10] < 0.1 * blurred[20]  # the last ten: under a tenth
assert left["float32"][10] - left["float32"][20] == 12  # and yet 12 of 21 numbers go

# %% [markdown]
# RMSE and SSIM tell how far the *picture* has moved. They cannot tell how much is *lost*. A photographic negative is
# far from its original and loses nothing. We will use both to compare restored images with clean ones, where they
# belong, and singular values to judge a D.

# %% [markdown]
# ## Blur or noise: what survives at T
#
# Ordinary ("hot") diffusion degrades with noise. Compare the two ends.
#
# **Noise** at $T$ leaves the factor $\sqrt{\bar\alpha_T}$ of the image under noise of size 1. One pixel tells nothing,
# and the mean over 1,024 pixels is only 32 times better. **Blur** at $T$ keeps the mean exactly, and the longest wave
# along each axis at 2.5 %, without any noise on top.

# %%
noise = family["noise"]
z = noise.draw(x0, torch.Generator().manual_seed(0))
xT_noise, xT = noise(x0, noise.T, z), D(x0, D.T)
print(f"noise keeps {noise.a[noise.T]:.1e} of the image at T")

# %% tags=["hide-cell", "check"]
# noise: what is left of the mean lies far below the noise in the mean, 1/32
mean = x0.mean((1, 2, 3))
assert (noise.a[noise.T] * mean).abs().max() < 0.02 / 32

# blur: the mean exactly, 2.5 % of the longest wave, 0.06 % of the diagonal one
assert (xT.mean((1, 2, 3)) - mean).abs().max() < 1e-6
before, after = (torch.fft.fft2(x)[:, 0] for x in (x0.double(), D(x0.double(), D.T)))
gain = fourier[20, 1]
assert torch.allclose(after[:, 0, 1], before[:, 0, 1] * gain, atol=1e-9)
assert torch.allclose(after[:, 1, 1], before[:, 1, 1] * gain**2, atol=1e-9)

# %% [markdown]
# So at $T$ a blurred digit is its mean, the longest wave across, the longest wave down, and two diagonal ones at
# 0.06 %: $1 + 4 + 4 = 9$ numbers, counting sine and cosine. Nine, as counted above.
#
# How strong is that in 8-bit levels? One level is $2/255 = 0.0078$ in $[-1, 1]$.

# %%
levels = xT.flatten(1).std(1).mean().item() / (2 / 255)
print(f"standard deviation inside one blurred image: {levels:.1f} levels")


def stretch(x):
    """Contrast stretched so that each image reaches from black to white."""
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return 2 * (x - low) / (high - low).clamp(min=1e-9) - 1


xT_8_bits = to_float(to_uint8(xT))

# %% tags=["hide-input", "plot"]
plots.rows(
    {
        "blurred to T": xT,
        "stretch, float32": stretch(xT),
        "stretch, 8 bits": stretch(xT_8_bits),
        "inverse, float32": D.inverse(xT, D.T),
        "inverse, 8 bits": D.inverse(xT_8_bits, D.T, eps=4e-3),
        "clean": x0,
    },
    alt="Six rows of eight digits. Blurred to T: flat dark grey. Stretched from "
    "float32: smooth bright patches of slightly different place and form. "
    "Stretched from 8 bits: the same in a handful of flat steps. Inverse of "
    "float32: soft slanted blobs. Inverse of 8 bits: paler ones without slant. "
    "Last row: the clean digits.",
)

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    assert 1 < levels < 2
    # an 8-bit file of it uses fewer than ten values
    assert max(len(image.unique()) for image in to_uint8(xT)) < 10

# %% [markdown]
# Read the rows downwards. *Stretched from float32*, the grey square turns out to hold a smooth hill. Its place and its
# form tell the digits apart; that is what the classifier of the puzzle used. *From 8 bits* the hill is a terrace of a
# few steps. The *inverse* restores the nine numbers to their size. From float32 the blobs lean: the diagonal waves are
# there. From 8 bits they stand upright.
#
# So the image sits in the later digits of the float, where an eye or an 8-bit file does not reach. Under noise no
# digit holds it, because $z$ fills them all. This has consequences for the chapters to come:
#
# - A network that sees only $x_T$ must find differences of one part in a hundred and less. `D.inverse(x_t, t)`, shown
#   to it beside $x_t$, brings them to full contrast. [The next chapter](02_unet.ipynb) builds such a network.
# - An 8-bit file of a strongly blurred image has lost something that the tensor in memory still has.
# - Whoever generates new images from blur has only a handful of numbers to draw. With noise there is one for each
#   pixel.
#
# `D.inverse` exists where D is linear in the image, or linear and a shift (*affine*), and its $z$ is none, or can be read off the degraded image: where a
# hole lies, to which colour a picture fades (`D.infer`). For the others it says so with `None`.

# %%
for name, D_ in family.items():
    x_1 = D_(x0, 1, D_.draw(x0))
    print(
        f"{name:10}",
        "no inverse" if D_.inverse(x_1, 1) is None else "has an inverse",
    )

# %% [markdown]
# ## Randomness is drawn once and kept
#
# A mask has a place, snow has flakes. All that randomness is one tensor, the **latent** $z$, with one entry per image.
# You draw it once and pass it at every $t$.


# %%
def shape(z):
    if z is None:
        return "none"
    if torch.is_tensor(z):
        return tuple(z.shape)
    return [tuple(part.shape) for part in z]


for name, D_ in family.items():
    print(f"{name:10} {shape(D_.draw(x0))}")

# %% [markdown]
# Why not draw it inside D and spare the argument? Because of the **sampler**, the loop that leads from a degraded image
# back to a clean one ([chapter 4](04_sampling.ipynb)). In each step a network guesses the clean image, and the sampler
# moves from severity $s$ to $s - 1$ by the difference $D(\hat x_0, s-1) - D(\hat x_0, s)$, where $\hat x_0$ is the
# guess. One $z$, and the difference is a thin ring where the hole shrinks. Two silent
# draws, and it is one hole minus another hole somewhere else.

# %%
s = 25
z = mask.draw(x0, torch.Generator().manual_seed(1))
z_other = mask.draw(x0, torch.Generator().manual_seed(2))
one_draw = mask(x0, s - 1, z) - mask(x0, s, z)
two_draws = mask(x0, s - 1, z) - mask(x0, s, z_other)

# %% tags=["hide-input", "plot"]
plots.rows(
    {
        "masked, s = 25": mask(x0, s, z),
        "change, one z": one_draw,
        "change, two z": two_draws,
    },
    alt="Three rows of eight. Masked digits with a grey disc each. The change with "
    "one z: grey, with a faint ring at the disc's edge. The change with two z: "
    "two large blotches, one white and one black, in unrelated places.",
)

# %% tags=["hide-cell", "check"]
# the wrong difference is many times larger
assert two_draws.square().mean().sqrt() > 5 * one_draw.square().mean().sqrt()

# %% [markdown]
# In the two lower rows grey means "no change". The middle row is what the sampler needs. The bottom row would paint
# ghosts into every image, at every step. Nothing would crash. That is why D refuses to guess: without $z$ it raises
# (see below).

# %% [markdown]
# ## Two at once, each on its own clock
#
# `Compose` applies several degradations in turn, and is a degradation itself. Its $T$ is the largest of its parts'.
# Each part runs on its own clock, $t_{\text{part}} = \lfloor t\, T_{\text{part}} / T \rfloor$, so that all of them
# start at 0 and reach their end together.

# %%
both = degradations.Compose((pixelate, mask))
print("T of the parts:", [part.T for part in both.parts], " T of both:", both.T)
for t in (0, 10, 17, 34, 50):
    squares, hole = (t * part.T // both.T for part in both.parts)
    print(f"t = {t:2}: pixelate at {squares}, mask at {hole}")

# %% tags=["hide-input", "plot"]
z = both.draw(x0, torch.Generator().manual_seed(0))  # a tuple: one latent per part
plots.rows(
    {f"t = {t}": both(x0, t, z) for t in (0, 17, 34, 50)},
    alt="Four rows of eight digits. From top to bottom they turn into coarser "
    "squares while a grey disc grows over each.",
)

# %% tags=["hide-cell", "check"]
assert torch.equal(both(x0, 0, z), x0)
assert torch.equal(both(x0, both.T, z), mask(pixelate(x0, pixelate.T), mask.T, z[1]))

# %% [markdown]
# ## Write a degradation of your own
#
# A new D is one class with three parts: a table over $t$, `draw` for the randomness, `degrade` for the formula. Let us
# make a flag in the wind: each row of pixels slides sideways, by a sine of its height. The amplitude grows with $t$;
# the phase is random, so it is the $z$.

# %%
from dataclasses import dataclass

from coldlab.degradations import Degradation, register


# From here on everything finds it by this name. Its options are fields of a
# dataclass; eq=False, because a module is compared by identity.
@register("wave")
@dataclass(eq=False)
class Wave(Degradation):
    """Row i slides by height * t/T * sin(2 pi (i/size + z)), in whole pixels;
    what leaves on one side comes in on the other."""

    size: int
    T: int = 16
    height: float = 6.0  # pixels
    needs_z = True

    def __post_init__(self):
        super().__post_init__()
        heights = torch.linspace(0, self.height, self.T + 1, dtype=torch.float64)
        self.table("heights", heights)  # one entry for each t = 0..T

    def draw(self, x0, generator=None):
        # (B,): a phase per image
        return torch.rand(len(x0), generator=generator, device=x0.device)

    def degrade(self, x0, t, z):
        i = torch.arange(self.size, device=x0.device)  # a row, or a column
        sine = torch.sin(2 * torch.pi * (i / self.size + z[:, None]))  # (B, size)
        slide = self.at("heights", t, x0) * sine[:, None, :, None]  # (B, 1, size, 1)
        source = (i + slide.round().long()) % self.size  # columns to read
        return x0.gather(3, source.expand_as(x0))  # (B, C, size, size)


# %% [markdown]
# `forward`, with its checks and its care for precision, comes from the base class. So do the promises, if `degrade`
# keeps them.

# %%
wave = make("wave", 32)
z = wave.draw(x0, torch.Generator().manual_seed(0))
print(tuple(x0.shape), "->", tuple(wave(x0, wave.T, z).shape))

# %% tags=["hide-cell", "check"]
t = torch.arange(len(x0)) * 2  # 0, 2, ..., 14
one = [wave(x0[i : i + 1], int(t[i]), z[i : i + 1]) for i in range(len(x0))]
each = torch.cat(one)
assert wave(x0, wave.T, z).shape == x0.shape  # 1
assert torch.equal(wave(x0, 0, z), x0)  # 2
assert torch.allclose(wave(x0, t, z), each, atol=1e-6)  # 3
assert torch.equal(wave(x0, t, z), wave(x0, t, z))  # 4

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
widgets.explore(
    make("wave", SIDE, height=12.0),
    photos,
    scale=2.5,
    alt="The pagoda and the flower as if printed on a flag; the slider moves t "
    "from 0, straight, to 16, waved.",
)

# %% [markdown]
# Everything that takes a D takes this one. It composes with others. And it goes through the paper's sampler (called
# Algorithm 2; `improved` in the package). In the place of the network we put a cheat that knows the clean image. Then
# the sampler must lead from $x_T$ back to $x_0$.

# %%
oracle = lambda x, s: x0  # given x and its severity s, it returns the truth

# After each step the sampler yields (severity, state, guess). We keep the last.
*_, (severity, x, _) = sampling.improved(oracle, wave, wave(x0, wave.T, z), z)
print("arrived at severity", severity)
print("back at the clean image:", torch.allclose(x, x0, atol=1e-5))

# %% tags=["hide-cell", "check"]
assert torch.allclose(x, x0, atol=1e-5)
windy_blur = degradations.Compose((wave, make("blur", 32)))
z_both = windy_blur.draw(x0, torch.Generator().manual_seed(0))
assert windy_blur(x0, windy_blur.T, z_both).shape == x0.shape

# %% [markdown]
# And it can be measured. The wave has no `D.gains`, but any linear D can be turned into its matrix: feed it the
# 1,024 images that have one pixel set. Their results are the columns.


# %%
def gains(D, size, t, z=None):
    """Singular values of a linear D at severity t: (size^2,), largest first."""
    pixels = torch.eye(size * size, dtype=torch.float64)
    pixels = pixels.view(-1, 1, size, size)  # one image per pixel
    return torch.linalg.svdvals(D(pixels, t, z).flatten(1))


phase = z[:1].expand(1024)  # the same z for all of them
wave_gains = gains(wave, 32, wave.T, phase)
wave_rmse = metrics.rmse(to_unit(wave(x0, wave.T, z)), to_unit(x0)).item()
blur_rmse = damage["blur"][1][20].item()
low, high = wave_gains.min(), wave_gains.max()
print(f"gains of the wave at T: {low:.3f} to {high:.3f}")
print(f"RMSE of the wave at T: {wave_rmse:.2f}, of the blur at T: {blur_rmse:.2f}")

# %% tags=["hide-cell", "check"]
assert (wave_gains - 1).abs().max() < 1e-9  # nothing is lost
if DATASET == "digits":
    # and yet it is further from x0 than twenty blurs
    assert wave_rmse > blur_rmse

# %% [markdown]
# By RMSE the wave at $T$ is further from the clean digits than twenty blurs. Yet all of its gains are 1. It destroys
# nothing: it puts pixels elsewhere. Distance is not loss.

# %% [markdown]
# ## What goes wrong
#
# **A forgotten z, integers, a severity that is not there.** These three are caught. The message names the value, the
# range and the cure.


# %%
def told(wrong):
    try:
        wrong()
    except ColdlabError as error:
        print("-", str(error).partition(" Known: ")[0])
    else:
        raise AssertionError("this should have been refused")


told(lambda: mask(x0, 25))  # z forgotten
told(lambda: D(test_images[:8], 5))  # uint8 pixels, 0..255
told(lambda: D(x0, 21))  # T is 20
told(lambda: make("blurr", 32))  # a slip of the finger

# %% [markdown]
# The official code counts its steps from 0: its step $k$ does $k + 1$ operations. Here $t$ counts operations. Mixing
# the two shifts everything by one.
#
# **Images in [0, 1] instead of [-1, 1].** This one is not caught, because nothing is wrong with the numbers. A masked
# pixel is 0, and in $[0, 1]$ that is black, not mid-grey. On digits, whose background is black, the hole can no longer
# be seen, and no network can know where to paint.

# %%
unit = to_unit(x0)  # [0, 1]: the wrong range for D
z = mask.draw(x0, torch.Generator().manual_seed(0))
right = mask(x0, mask.T, z)
wrong = 2 * mask(unit, mask.T, z) - 1  # shown on the same scale

# %% tags=["hide-input", "plot"]
plots.rows(
    {"D of [-1, 1]": right, "D of [0, 1]": wrong},
    alt="Two rows of eight masked digits. In the first a grey disc shows where the "
    "hole is. In the second the disc is black like the background, and parts "
    "of strokes are just missing.",
)

# %% tags=["hide-cell", "check"]
# half the range apart, at the hole's middle
assert (to_unit(right) - to_unit(wrong)).abs().max() > 0.45

# %% [markdown]
# **bfloat16 around D.** Networks are often run in **bfloat16**, which has 8 bits of precision and is fast. For D that
# is poison near $T$. The sampler needs differences such as $D(x_0, 19) - D(x_0, 20)$. On digits that difference is about 0.002, and
# bfloat16 numbers near $-0.6$ lie 0.004 apart. Below, the same matrices are multiplied under **autocast**, PyTorch's
# switch that lets matrix products run in bfloat16, without D's guard.

# %%
step = D(x0, 19) - D(x0, 20)  # what the sampler needs
with torch.autocast("cpu", dtype=torch.bfloat16):
    guarded = D(x0, 19) - D(x0, 20)
    bare = [(D.A[t] @ x0 @ D.A[t].mT).float() for t in (19, 20)]
coarse = bare[0] - bare[1]
print("with D's guard nothing changes:", torch.equal(guarded, step))

# %% tags=["hide-input", "plot"]
plots.rows(
    {"float32": stretch(step), "bfloat16": stretch(coarse)},
    title="D(x0, 19) - D(x0, 20), stretched",
    alt="Two rows of eight. In float32 each difference is a smooth bright hill on "
    "black. In bfloat16 it is a pattern of rings and speckles in three to six "
    "grey levels; the hill can only just be made out.",
)

# %% tags=["hide-cell", "check"]
assert torch.equal(guarded, step)  # D switches autocast off inside itself
if DATASET == "digits":
    # without that, the error is of the size of the step
    assert (coarse - step).std() > 0.3 * step.std()

# %% [markdown]
# D keeps itself out of autocast and of TF32, a format in which some GPUs multiply with 11 bits of precision. What it
# cannot prevent is that you cast its *result*, or store it in 8 bits.

# %% [markdown]
# ## Exercises
#
# > **Exercise 1.** Write the line of *desaturate*. The image keeps the share $a$ of its colour, and for the rest it gets
# > its grey: the mean of its three channels at each pixel, in all three. (The family's table has the formula.) Replace
# > the line, and run the cell until it says "right". The flower should lose its colour from left to right, and keep
# > every petal.


# %%
def desaturated(x0, a):
    """x0 (B, 3, H, W) with the share a of its colour, 0 <= a <= 1."""
    return x0  # <- your line


def judge(line):
    """Say whether the line does what the package's own desaturate does."""
    D_ = make("desaturate", SIDE)
    for t in range(D_.T + 1):
        ours, theirs = line(photos, 1 - t / D_.T), D_(photos, t)
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, atol=1e-5):
            return f"not yet: it differs at a = {1 - t / D_.T:.2f}"
    return "right"


print(judge(desaturated))


# %% tags=["hide-cell", "solution"]
def desaturated(x0, a):
    """x0 (B, 3, H, W) with the share a of its colour, 0 <= a <= 1."""
    return a * x0 + (1 - a) * x0.mean(1, keepdim=True)


print(judge(desaturated))
assert judge(desaturated) == "right"
shares = (1, 0.75, 0.5, 0.25, 0)
plots.strip(
    torch.cat([desaturated(photos[1:], a) for a in shares]),
    [f"a = {a}" for a in shares],
    scale=1,
    alt="The flower five times, from orange on the left to grey on the right; "
    "every petal stays.",
)

# %% [markdown]
# > **Exercise 2.** In the puzzle the classifier named half of the digits at $t = 20$. Its distances were dominated by
# > the mean, the only pattern in full strength; the others had to be heard through it. Apply `D.inverse` to gallery and
# > queries before comparing, in float32, in 8 bits, and in float64. Predict the three shares first; the counts 9, 5 and 21 should help.


# %% tags=["hide-cell", "solution", "nbval-ignore-output"]
def restored(x, name):
    """What the regularised inverse makes of x at T, in one precision."""
    if name == "8 bits":
        x_t = to_float(to_uint8(D(x, D.T)))
    else:
        x_t = D(x.double() if name == "float64" else x, D.T)
    return D.inverse(x_t, D.T, precision[name])


named = {
    name: accuracy(restored(x_train, name), restored(x_test, name))
    for name in precision
}
print({name: round(share, 2) for name, share in named.items()})
if DATASET == "digits":  # 5, 9, 21 numbers; and 0.94 for sharp digits
    assert alike[20] < named["8 bits"] < named["float32"] < named["float64"]
    # nearly as good as sharp digits, from a flat grey square
    assert named["float64"] > 0.85

# %% [markdown]
# > **Exercise 3.** `make("blur", 32, discrete=True)` replaces the image at $T$ by its mean. Predict for $t = T$: the
# > RMSE beside that of the ordinary blur, the numbers left, and the share that the classifier names with a gallery
# > degraded alike. Which of the three notices?

# %% tags=["hide-cell", "solution"]
flat = make("blur", 32, discrete=True)
rmse_flat = metrics.rmse(to_unit(flat(some, 20)), to_unit(some)).item()
counts = [numbers_left(D_, 20, 2e-6) for D_ in (flat, D)]
print("numbers left in float32:", counts[0], "instead of", counts[1])
assert counts[0] == 1  # the mean, nothing else
assert abs(rmse_flat - blur_rmse) < 0.02  # RMSE hardly notices
if DATASET == "digits":
    # the classifier does: from a half to near chance
    assert accuracy(flat(x_train, 20), flat(x_test, 20)) < 0.25

# %% [markdown]
# > **Exercise 4.** Does the order matter in `Compose`? Compare both orders for desaturate with blur (on `photos`), and
# > for blur with a centred mask (on the digits). Predict which pair **commutes**, and say why.


# %% tags=["hide-cell", "solution"]
def order_gap(first, second, x):
    """Largest difference between the two orders, half way."""
    one = degradations.Compose((first, second))
    other = degradations.Compose((second, first))
    return (one(x, one.T // 2) - other(x, one.T // 2)).abs().max().item()


colour_and_blur = order_gap(photo_family["desaturate"], photo_family["blur"], photos)
blur_and_mask = order_gap(make("blur", 32), make("mask", 32, centre="centred"), x0)
print("desaturate and blur commute:", colour_and_blur < 1e-5)
print("blur and mask commute:      ", blur_and_mask < 1e-5)
# One mixes channels within a pixel, the other pixels within a channel.
assert colour_and_blur < 1e-5
# The blur carries pixels across the hole's edge: it matters whether they were there.
assert blur_and_mask > 0.1

# %% [markdown]
# > **Exercise 5.** Noise at $T$ looks like total loss. Now suppose you know $z$. Compute $x_0$ from $x_T$ and $z$, in
# > float32, and measure the error. What does that say about where the loss of hot diffusion comes from?

# %% tags=["hide-cell", "solution"]
z = noise.draw(x0, torch.Generator().manual_seed(0))
back = (noise(x0, noise.T, z) - noise.b[noise.T] * z) / noise.a[noise.T]
known_z = metrics.rmse(to_unit(back), to_unit(x0)).item()
print("recovered to within 1 % of the range:", known_z < 0.01)
# Noise loses nothing but z: the image is lost because z is not known, not because it
# was erased.
assert known_z < 0.01

# %% [markdown]
# > **Exercise 6.** Write a `Vignette`: the picture darkens to black from the corners inwards, without randomness.
# > Register it, and check promise 2, that severity grows the damage, and that black is really black. (Mind the range.)


# %% tags=["hide-cell", "solution"]
@register("vignette")
@dataclass(eq=False)
class Vignette(Degradation):
    """x_t = v_t (x0 + 1) - 1: brightness above black times v_t = exp(-(t/T) strength
    d^2), d = 1 at the corners."""

    size: int
    T: int = 20
    strength: float = 12.0

    def __post_init__(self):
        super().__post_init__()
        line = torch.linspace(-1, 1, self.size, dtype=torch.float64) ** 2 / 2
        d2 = line[:, None] + line[None, :]
        share = torch.arange(self.T + 1, dtype=torch.float64)[:, None, None] / self.T
        self.table(
            "v", torch.exp(-share * self.strength * d2)
        )  # (T + 1, size, size)

    def degrade(self, x0, t, z):
        # black is -1; exact where v = 1
        return x0 - (1 - self.at("v", t, x0)) * (x0 + 1)


vignette = make("vignette", SIDE)
errors = []
for t in range(vignette.T + 1):
    errors.append(metrics.rmse(to_unit(vignette(photos, t)), to_unit(photos)).item())
assert torch.equal(vignette(photos, 0), photos)
assert errors == sorted(errors)
assert (vignette(photos, vignette.T)[..., 0, 0] + 1).abs().max() < 1e-4
plots.strip(
    quarters(vignette, photos, 1),
    ["t = 0", "5", "10", "15", "20"],
    scale=1,
    alt="The flower five times; from left to right black closes in from the "
    "corners until only the middle is lit.",
)

# %% [markdown]
# ## Recap
#
# - A degradation is $D(x_0, t, z)$: the clean image at $t = 0$, bit for bit; deterministic given $z$; one $t$ per
#   image if you like.
# - Severity costs nothing: $t$ convolutions are two products with a stored matrix $A_t$.
# - Singular values tell what is left of each pattern. Pixelate deletes; blur whispers, and the digits of the float
#   decide how much can still be heard.
# - RMSE and SSIM tell how far the picture has moved, not how much is lost. A wave moves far and loses nothing.
# - At $T$ blur leaves the mean and a handful of waves; noise leaves nothing, unless you know $z$.
# - Draw $z$ once, keep it, and pass it on.
# - Your own D is one class: a table, `draw`, `degrade`.
#
# Next, [the network that undoes it](02_unet.ipynb). The letters stand in the [notation](notation.md), the words in the
# [glossary](glossary.md).
#
# ## Further reading
#
# - [Cold Diffusion: Inverting Arbitrary Image Transforms Without Noise](https://arxiv.org/abs/2208.09392), Bansal et
#   al., 2023. The paper of this course; its degradations are the ones above.
# - [Generative Modelling with Inverse Heat Dissipation](https://arxiv.org/abs/2206.13397), Rissanen, Heinonen and
#   Solin, 2023. Blur as a heat equation, wave by wave, with a likelihood.
# - [Blurring Diffusion Models](https://arxiv.org/abs/2209.05557), Hoogeboom and Salimans, 2023. Blur as Gaussian
#   diffusion with its own schedule for each frequency.
# - [Soft Diffusion: Score Matching with General Corruptions](https://arxiv.org/abs/2209.05442), Daras et al., 2023.
#   Linear corruptions with a little noise.
# - [Benchmarking Neural Network Robustness to Common Corruptions and Perturbations](https://arxiv.org/abs/1903.12261),
#   Hendrycks and Dietterich, 2019. Where the snow comes from.
# - [Image Quality Assessment: From Error Visibility to Structural
#   Similarity](https://doi.org/10.1109/TIP.2003.819861), Wang, Bovik, Sheikh and Simoncelli, 2004. SSIM.
#
# Full references are in the [bibliography](bibliography.md).
