# ---
# jupyter:
#   accelerator: GPU
# ---

# %% [markdown]
# # Training
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/coldlab/blob/main/book/03_training.ipynb)
#
# **After this chapter you can** write a training loop of cold diffusion in a dozen lines and read the real one, train a network on your own processor in a minute,
# tell from a loss curve whether it is learning and what is wrong if it is not, stop a run and resume it without losing a bit, and say what a GPU would change.
#
# **You need** chapters 1 and 2: what D and R are. **It takes** 20 minutes to read; the cells run in about 55 s on one core of a recent CPU, measured.

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
import inspect
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import coldlab
from coldlab import checkpoints, data, metrics, plots, sampling, training, widgets
from coldlab.data import batches
from coldlab.lab import results, runs
from coldlab.unet import count

# or "mnist", "cifar10", or the path of a folder of your own images
DATASET = "digits"
SIZE = 32  # pixels; images of another size are resized
LOOKS = (10, 50, 300)  # the steps at which we look; the training ends with the last
BRIEF = LOOKS[-1] // 5  # 60 steps for each of the small trainings

# %% [markdown]
# ## A puzzle first
#
# R will be trained to return the clean image from any severity, and its mistake is measured by the mean absolute difference of the pixels, in $[-1, 1]$.
# Before we believe that it has learned anything, it should at least beat an answer that needs no network: *always give the same picture*.
#
# Which one picture has the smallest mean absolute difference to all training images: all black, the mean image, or the median of each pixel?
# And how many steps, of 64 images each, will R need to beat it: 10, 50 or 1,000? Write down both guesses.

# %%
config = training.Config(dataset=DATASET, size=SIZE, steps=LOOKS[-1])
# fills in the channels and the settings of the degradation
config, all_images = runs.prepare(config)
# a tenth is never trained on: it is there to be asked
chosen, held = batches.split(all_images, config)
images = all_images[chosen]
print("images:", tuple(images.shape), images.dtype, " held out:", len(held))
clean = data.to_float(images)  # all of them, in [-1, 1]
constant = {
    "black": torch.full_like(clean[:1], -1),
    "mean": clean.mean(0, keepdim=True),
    "median": clean.median(0, keepdim=True).values,
}
loss_of = {
    name: (clean - picture).abs().mean().item() for name, picture in constant.items()
}

# %% tags=["hide-input", "plot"]
plots.strip(
    torch.cat(list(constant.values())),
    list(constant),
    scale=3,
    alt="The three answers that need no network: a black square; the mean of all "
    "digits, a soft, grey 8; their median, a white shape like an 8.",
)

# %% tags=["nbval-ignore-output"]
for name, loss in loss_of.items():
    print(f"{name:6s} {loss:.3f}")

# %% tags=["hide-cell", "check"]
assert min(loss_of, key=loss_of.get) == "median"

# %% [markdown]
# The median wins: of all single answers it has the smallest mean *absolute* error, as the mean has the smallest *squared* one. Remember this number.
# It is the **baseline**: a network above it does no better than one that does not look at its input. And remember the reason. With the L1 loss R tends to answer with the median, pixel by pixel, of all images that fit what it sees.
# Such a median is black or white nearly everywhere, and yet no digit that anybody wrote. Grey is left only where black and white are nearly a draw.
#
# ## The objective
#
# The paper's training objective (its equation 1) fits on one line. Draw a clean image, a severity and whatever randomness the degradation needs; degrade; restore; compare:
#
# $$\min_\theta \; \mathbb{E}_{x_0,\, t,\, z} \; \big\| R_\theta(D(x_0, t, z), t) - x_0 \big\|_1, \qquad t \text{ uniform in } 1, \dots, T.$$
#
# ## Whom we train
#
# The network is that of [chapter 2](02_unet.ipynb), in a size for a CPU. It folds 4 x 4 pixels into channels, has three levels and no attention, and is shown the inverse beside $x_t$. Here is what we asked for, and where its weights are:

# %%
D, R = training.build(config)
for name in ("precondition", "patch", "width", "mults", "attention"):
    print(f"{name:13}{getattr(config, name)}")
print()
for name, part in getattr(R, "net", R).named_children():
    print(f"{name:10}{count(part):10,} weights")
print(f"{'in all':10}{count(R):10,}")

# %% tags=["hide-cell", "check"]
assert (config.patch, config.mults, config.attention) == (4, (1, 1, 2), ())
assert count(R) < 1.2e6  # one million, where the paper's has 56.6

# %% [markdown]
# About one million weights, a fiftieth of the paper's.
#
# ## The loop
#
# This is all of it. The blur needs no randomness, so there is no $z$.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
optimizer = torch.optim.AdamW(R.parameters(), lr=2e-3)
simple = []  # the loss of each step
for _ in range(BRIEF):
    chosen = torch.randint(len(images), (32,))  # 32 images, drawn at random,
    x0 = data.to_float(images[chosen])  # as numbers from -1 to 1
    t = torch.randint(1, D.T + 1, (32,))  # a severity for each, 1..T
    x0_hat = R(D(x0, t), t)  # ruin them, and let R restore them
    loss = (x0_hat - x0).abs().mean()  # how far off is it?
    loss.backward()  # which way would each weight make it better?
    optimizer.step()  # a small step that way
    optimizer.zero_grad()  # forget the directions
    simple.append(loss.item())
print(f"loss: {simple[0]:.2f} at step 1, {sum(simple[-10:]) / 10:.2f} at the end")

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    assert sum(simple[-10:]) / 10 < 0.95 * loss_of["median"] < simple[0]

# %% [markdown]
# Read it aloud: draw, ruin, restore, compare; ask for the directions, step, forget. In 60 steps the loss falls from the random start to below the median picture. R has begun to use what it sees.
#
# One line in it is easily written wrong. Two well-known codes, that of inverse heat dissipation (IHDM) and the one-file `superminddpm.py`, draw $t$ so that its upper end is missed: their networks are never shown $x_T$, the very image that every sampler starts from. `randint` leaves its upper end out, hence the `D.T + 1`.
#
# ## Four curves
#
# Before you trust a curve, look at some that went wrong. We run the loop three more times, each with one mistake. Guess how each curve will look, and which of the four will end *lowest*.
#
# - A learning rate that is too high: 0.3 in place of 0.002.
# - One that is too low: 0.00001.
# - A wrong range: the images as numbers from 0 to 1. Everything else in this course is in $[-1, 1]$.


# %%
def learn(images, steps, lr=2e-3, scale=data.to_float):
    """The loop above: yields R and the loss after each step."""
    torch.manual_seed(0)
    D, R = training.build(config)
    optimizer = torch.optim.AdamW(R.parameters(), lr=lr)
    for _ in range(steps):
        x0 = scale(images[torch.randint(len(images), (32,))])
        t = torch.randint(1, D.T + 1, (32,))
        loss = (R(D(x0, t), t) - x0).abs().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield R, loss.item()


def unit(images):
    return images / 255  # the mistake: from 0 to 1


mistakes = {
    "rate too high": dict(lr=0.3),
    "rate too low": dict(lr=1e-5),
    "wrong range": dict(scale=unit),
}
four, ends = {"good": simple}, {"good": R}
for name, mistake in mistakes.items():
    pairs = list(learn(images, BRIEF, **mistake))
    ends[name], four[name] = pairs[-1][0], [loss for _, loss in pairs]


# %% tags=["hide-input", "plot"]
def panels(ncols, width, height):
    fig, axes = plots.figure(width, height, 4 // ncols, ncols)
    for ax, (name, each) in zip(axes.flat, four.items(), strict=True):
        ax.plot(range(1, len(each) + 1), each)
        line = loss_of["median"] / (2 if name == "wrong range" else 1)
        ax.axhline(line, color=plots.COLOURS["orange"], linestyle=":")
        ax.set(title=name, xlabel="step", ylabel="L1 loss", ylim=(0, 1))
        if name == "rate too high":
            ax.set(yscale="log", ylim=(0.1, 2 * max(each)))
            assert ax.get_ylim()[1] > max(each)
    return plots.Picture(
        fig,
        alt="Four loss curves, each with the dotted line of its median picture. "
        "Good: falls and crosses the line. Rate too high: jumps to thousands "
        "of millions and more, on a logarithmic axis. Rate too low: almost "
        "level, far above the line. Wrong range: falls and ends lowest of the "
        "four, a little below its line, which lies half as high.",
    )


plots.either(panels(2, 6.4, 4.8), panels(1, 3.4, 8.4))

# %% tags=["nbval-ignore-output"]
asked_right = {
    name: training.validate(ends[name].eval(), D, held, config) for name in ends
}
x0, R_unit = unit(held), ends["wrong range"]
with torch.no_grad():
    own = [(R_unit(D(x0, t), t) - x0).abs().mean().item() for t in range(1, D.T + 1)]
own = sum(own) / D.T  # over all severities, as validate does by draw
print("held out, in [-1, 1]:")
print(f"   good           {asked_right['good']:.3f}")
print(f"   wrong range    {asked_right['wrong range']:.3f}")
print(f"   median picture {loss_of['median']:.3f}")
print("in [0, 1], where all is half as large:")
print(f"   wrong range    {own:.3f}")
print(f"   median picture {loss_of['median'] / 2:.3f}")

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    end = {name: sum(each[-10:]) / 10 for name, each in four.items()}
    assert end["rate too high"] > 100
    assert end["rate too low"] > 3 * loss_of["median"]
    assert min(end, key=end.get) == "wrong range"
    assert end["wrong range"] < 0.75 * loss_of["median"]
    assert asked_right["wrong range"] > 2 * loss_of["median"]
    assert asked_right["good"] < loss_of["median"]
    assert 0.8 < 2 * own / asked_right["good"] < 1.25  # as good as the first

# %% [markdown]
# Too high, and the first steps throw the weights so far out that the loss is a number without meaning; it falls from there, and that is no comfort. Too low, and nothing is wrong except that you will wait for days.
#
# The fourth is the dangerous one. It looks best of all, and in its own range its network is about as good as the first, no better: from 0 to 1 all differences are half as large, and so is the baseline. Asked in $[-1, 1]$, as everywhere in this course, it is further off than a picture that never changes. A loss means nothing without the baseline of the same images.
#
# ## The real one: the same, with four habits and four switches
#
# The package's loop is `training.train`, and the two lines that ruin, restore and compare are `training.loss_of`. They are the loop above with four habits, which are always on, and four switches, which are off unless a configuration asks for them.
#
# The habits:
#
# 1. **Everything random is a function of (seed, rank, step)** (the *rank* is the number of the process, 0 if there is only one), so that a run can be stopped and repeated to the bit.
# 2. **The learning rate rises, then falls to zero**: `learning_rate`.
# 3. **A gradient longer than 1 is shortened**: `clip_grad_norm_`.
# 4. **The weights are averaged** as they change, and the average is what is kept: `_foreach_lerp_`.
#
# The switches:
#
# 1. `augment`: move, slant or mirror the images.
# 2. `timestep_bias`: favour late severities.
# 3. `rounded`: round some images to 8 bits, so that R can restore files, too.
# 4. `rollout` (in the code `own`): show R some of its own mistakes, one step of Algorithm 2 on (`step_down`).
#
# One habit you write yourself before you read it.
#
# > **Exercise 1.** The average of the weights. After each step every averaged weight is moved towards the latest one: it keeps the share `decay` of itself, and takes the rest from the latest. Write that line.


# %%
def averaged(average, latest, decay):
    """The new average; average and latest are tensors of one shape."""
    return None  # write one line


# %% tags=["hide-input", "check"]
def verdict(averaged):
    average, latest = torch.tensor([1.0, 0.0]), torch.tensor([3.0, -1.0])
    new = averaged(average.clone(), latest.clone(), 0.75)
    if new is None:
        return "not written yet"
    if not torch.is_tensor(new) or new.shape != average.shape:
        return "not yet: the answer is a tensor of the same shape"
    if torch.allclose(new, torch.lerp(average, latest, 1 - 0.75)):
        return "right"
    if torch.allclose(new, torch.lerp(average, latest, 0.75)):
        return "nearly: this one keeps the share 1 - decay of itself"
    return "not yet: at decay 0.75 the average of 1 and 3 becomes 1.5"


print("averaged:", verdict(averaged))


# %% tags=["hide-cell", "solution"]
def written(average, latest, decay):
    return decay * average + (1 - decay) * latest


print("this solution is", verdict(written))
assert verdict(written) == "right"
assert verdict(averaged) in ("not written yet", "right")
assert verdict(lambda a, b, d: a + d * (b - a)).startswith("nearly")
assert verdict(lambda a, b, d: a).startswith("not yet")

# %% [markdown]
# Now the real one: the twelve lines of its text that you know, with the number of the habit before each that is one. (*Check* has the whole.)

# %%
habits = {"seed_of": 1, "learning_rate": 2, "clip_grad_norm_": 3}
habits["_foreach_lerp_"] = 4
known = "while state", "augment", "loss_of", "backward", "step()", "zero_grad"
twelve = []
for line in inspect.getsource(training.train).splitlines():
    habit = [number for name, number in habits.items() if name + "(" in line]
    if habit or any(name in line for name in (*known, "yield state")):
        twelve.append(line)
        print(*habit or " ", line[4:])

# %% tags=["hide-cell", "check"]
assert len(twelve) == 12
print(inspect.getsource(training.train))
print(inspect.getsource(training.loss_of))

# %% [markdown]
# Is it the same? Here is one batch, by `loss_of` with all switches off and by the middle lines of our loop.

# %%
D, state = training.start(config)
x0 = clean[:32]


def draw():
    return torch.Generator().manual_seed(0)


with torch.no_grad():
    theirs = training.loss_of(state.R, D, x0, config, draw())
    t = (D.T * torch.rand(len(x0), generator=draw())).ceil().clamp(1, D.T).long()
    ours = (state.R(D(x0, t), t) - x0).abs().mean()
print("the same loss:", torch.allclose(theirs, ours))

# %% tags=["hide-cell", "check"]
assert torch.allclose(theirs, ours)
off = config.timestep_bias, config.rounded, config.rollout
assert off == (1, 0, 0) and config.shift == config.scale == config.slant == 0
assert not config.flip

# %% [markdown]
# Then take its first step apart by hand.
#
# **Everything random is a function of (seed, rank, step).** There is no generator whose state would have to be saved. Step 17 of seed 0 draws the same
# images and severities today, tomorrow, and after a crash. Here are the images of step 0, drawn twice:

# %%
step = 0


def pick():
    seed = training.seed_of(config.seed, 0, step, "images")
    return torch.randint(
        len(images), (config.batch,), generator=torch.Generator().manual_seed(seed)
    )


chosen = pick()
print("batch:", config.batch, "images; first indices", chosen[:5].tolist())

# %% tags=["hide-cell", "check"]
assert torch.equal(chosen, pick())

# %% [markdown]
# **Severities run from 1 to T, both included.** This loop takes a number $u$ between 0 and 1 and rounds $T u$ *up*:

# %%
u = torch.rand(
    10_000, generator=torch.Generator().manual_seed(training.seed_of(0, 0, step))
)
severities = (D.T * u).ceil().clamp(1, D.T).long()
print("lowest", severities.min().item(), "highest", severities.max().item())
t = severities[: config.batch]

# %% tags=["hide-cell", "check"]
assert severities.unique().tolist() == list(range(1, D.T + 1))

# %% [markdown]
# **One batch mixes all severities.** D looks up one matrix per image, so a batch of mixed severities costs what a batch of equal ones costs (chapter 1).

# %%
ten = t.argsort()[::7][:10]  # ten of the 64, from the least to the most degraded
x = D(clean[chosen[ten]], t[ten])
print(
    "x0",
    tuple(clean[chosen[ten]].shape),
    " t",
    tuple(t[ten].shape),
    " x_t",
    tuple(x.shape),
)

# %% tags=["hide-input", "plot"]
plots.strip(
    x,
    [f"t = {k}" for k in t[ten].tolist()],
    alt="Ten training images of one batch, sorted by severity: on the left a "
    "blurred "
    "stroke can be made out, from the middle on only a soft grey spot, and then "
    "plain grey.",
)

# %% [markdown]
# Three of these lines deserve a word, and one that stands inside `training.predicted`.
#
# - `torch.autocast(..., enabled=bfloat16_pays(device))` stands around R alone. R bears coarse rounding and runs in bfloat16 where that is faster;
#   D does not, and stays in float32 (chapter 1 shows what happens otherwise).
# - `clip_grad_norm_(parameters, LARGEST)` shortens a gradient that is longer than 1. Below we count how often it acts: it is not never. It is there for the one bad batch that a long run may meet.
# - `torch._foreach_lerp_(averages, parameters, 1 - decay)` keeps an **exponential moving average** of the weights, *after* the step. The average is what is
#   saved and used. Is it better than the latest weights? Predict; we ask both on the held-out images.
# - `yield state.step, loss`: the loop is a **generator**. Whoever calls it decides when to look, and looking costs something on a GPU: reading the loss waits
#   for all work that is still queued. That is why the loss comes out as a tensor and nobody calls `.item()` on it inside.
#
# ## Train it
#
# Now run it. We keep copies of the averaged network after 10, 50 and 300 steps to see later what each could do.

# %% tags=["nbval-ignore-output"]
lengths = []


def measure(optimizer, *_):
    """Before each step: how long the whole gradient is, after clipping."""
    each = [p.grad.norm() for p in state.R.parameters()]
    lengths.append(torch.stack(each).norm())


state.optimizer.register_step_pre_hook(measure)

some = data.load(DATASET, "test", config.size, config.zoom)[0][:10]
test = data.to_float(some)  # ten digits that are never trained on
xT = D(test, D.T)


def restored(R):
    """Where Algorithm 2 leads from xT."""
    *_, (_, x, _) = sampling.improved(R, D, xT)
    return x


frames = (0, 5, 10, 20, 30, 40, 50, 60, 75, 100, 125, 150, 200, 250, 300)
film = {0: restored(state.ema)}  # {step: what the average makes of xT}
kept, losses = {}, []
asked = {"average": {}, "latest": {}, "training images": {}}
for step, loss in training.train(state, D, images, config):
    losses.append(loss)
    if step in frames:
        film[step] = restored(state.ema)
    if step in LOOKS:
        weights = state.ema.state_dict().items()
        kept[step] = {name: value.clone() for name, value in weights}
    if step >= LOOKS[1] and step % LOOKS[1] == 0:
        for name, R, those in (
            ("average", state.ema, held),
            ("latest", state.R, held),
            ("training images", state.ema, images[: len(held)]),
        ):
            asked[name][step] = training.validate(R, D, those, config)
losses = torch.stack(losses)
means = losses.unfold(0, 10, 1).mean(1)
below = (means < loss_of["median"]).nonzero().flatten() + 10
first = below[0].item() if len(below) else None
print(
    f"loss: {losses[:5].mean():.3f} at the start, "
    f"{losses[-25:].mean():.3f} at the end; "
    f"below the median's after {first} steps"
)

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    assert losses[-25:].mean() < 0.7 * loss_of["median"] and 40 < first < 90

# %% tags=["nbval-ignore-output"]
clipped = (torch.stack(lengths) > 0.9999).nonzero().flatten() + 1
print("clipped:", len(clipped), "of", config.steps, "steps;", end=" ")
print("the last three:", clipped[-3:].tolist())
print("held-out loss at step", list(asked["latest"]))
for name, told in asked.items():
    print(f"   {name:15s}", " ".join(f"{loss:.4f}" for loss in told.values()))

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    assert 3 <= len(clipped) <= 45  # of 300: a few in a hundred
    assert (clipped > 200).sum() <= 2  # hardly any in the last third
    apart = [asked["average"][k] / asked["latest"][k] - 1 for k in asked["average"]]
    assert max(map(abs, apart)) < 0.08  # the two are close at every look
    assert abs(apart[-1]) < 0.02  # and closest at the end

# %% [markdown]
# Clipping acted in a few steps out of a hundred, hardly ever in the last third. And the average is no better than the latest weights: at every look the two are within a few percent of each other, and at the end they are all but equal,
# because the learning rate has fallen to zero and the latest weights have come to rest. In a run as short as this the average buys nothing that we can measure. We keep it, as the paper does, whose learning rate stays constant for 700,000 steps.

# %% tags=["hide-input", "plot"]
steps = torch.arange(1, len(losses) + 1)
plots.curves(
    {
        "each batch": (steps, losses),
        "mean of 10": (steps[9:], means),
        "median picture": (steps[[0, -1]], [loss_of["median"]] * 2),
    },
    alt="Loss against steps on a logarithmic axis. It falls steeply, crosses the "
    "line of the median picture within a few tens of steps, and goes on falling "
    "more "
    "slowly, with a jitter from batch to batch, to well below half of that line.",
    xlabel="step",
    ylabel="L1 loss",
    logy=True,
)

# %% [markdown]
# How to read such a curve:
#
# - The first steps unlearn the random start. They say nothing about the task.
# - From the crossing of the dotted baseline on, R must be *using* its input: here after some sixty steps, the answer to the puzzle. (The simple loop needed about half as many, of half as many images: it starts at its full learning rate, this one spends its first fifty steps rising to it.) If your run stays above it, something is broken: the learning rate, the data, or D.
# - The jitter comes from the batches: other images, other severities. Judge the smooth line.
# - The end flattens for two reasons: what is left is hard, and the learning rate falls to zero on purpose. The next cell shows it. A run that is cut before that looks
#   worse than the same run that was *planned* to be that short.

# %%
rate = [training.learning_rate(config, k) for k in range(config.steps)]
print(
    "rises until step",
    1 + max(range(len(rate)), key=rate.__getitem__),
    "of",
    config.steps,
)

# %% tags=["hide-input", "plot"]
plots.curves(
    {"learning rate": (range(1, config.steps + 1), rate)},
    alt="Learning rate against step: it rises for the first 50 steps to a peak, and "
    "falls from there in an S-shaped curve to zero at the last step.",
    xlabel="step",
    ylabel="learning rate",
)

# %% tags=["hide-cell", "check"]
assert rate[-1] < 0.001 * config.lr or DATASET != "digits"

# %% [markdown]
# ## What the pictures say
#
# A loss is a number. Here are held-out digits, never seen in training, blurred all the way to $t = T$ (plain grey to the eye) and restored by Algorithm 2 ([chapter 4](04_sampling.ipynb) explains it) with the averaged network as it was at each step. Below each stands the original. Predict: after how many steps is there *a digit*, and after how many *the right one*? Then drag.

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
at = list(film)
widgets.slider(
    [torch.cat([film[step][:8], test[:8]]) for step in at],
    [f"step {step} of {config.steps}" for step in at],
    alt="Eight held-out digits restored by the network of a training step, above "
    "the originals; the slider moves the step from 0 to the end. At 0 there is "
    "noise, at some tens one and the same upright blot, then soft digits, at "
    "the end mostly the right ones.",
    start=len(at) // 2,
)

# %% [markdown]
# The same at three moments, and below them the network that ships with `coldlab`: the same recipe, for 2,000 steps (and a fifth of its images were rounded to 8 bits, so that it can restore files, too).

# %%
pictures = {"blurred": xT}
for step, weights in kept.items():
    state.ema.load_state_dict(weights)
    pictures[f"{step} steps"] = restored(state.ema)
if DATASET == "digits":
    shipped = coldlab.load_pretrained("digits-blur")
    pictures[f"{shipped.config.steps:,} steps"] = restored(shipped)
pictures["original"] = test

# %% tags=["hide-input", "plot"]
plots.rows(
    pictures,
    alt="Rows of ten held-out digits. Blurred: uniform grey squares. After 10 "
    "steps: "
    "the same pattern of small squares for all. After 50 steps: one blurred upright "
    "stroke, nearly the same for all. After 300 steps: digits, most of them the "
    "right ones, with soft and wrong strokes. The shipped network: sharp digits, "
    "nearly like the originals in the last row.",
)


# %% tags=["nbval-ignore-output"]
def error(x, truth):
    return metrics.rmse(data.to_unit(x), data.to_unit(truth)).item()


ten = {name: error(x, test) for name, x in pictures.items() if name != "original"}
for name, value in ten.items():
    print(f"{name:12s} RMSE {value:.3f}")

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    assert ten["2,000 steps"] < ten["300 steps"] < ten["50 steps"] < ten["10 steps"]

# %% [markdown]
# The blurred row looks the same for all ten, and yet the last rows differ: the information is there, far below what an eye or an 8-bit screen can tell apart
# (chapter 1). Ten steps show little but the random start (each network place paints 4 x 4 pixels), fifty learn the average, three hundred learn *which* strokes.
#
# After that, seven times the steps take more than a quarter off the error. Do they? That is what the ten digits say. We believed them, until we asked all 297:

# %% tags=["nbval-ignore-output"]
if DATASET == "digits":
    everyone = data.to_float(data.load(DATASET, "test", config.size)[0])
    gain = {}
    state.ema.load_state_dict(kept[LOOKS[-1]])
    for count in (10, len(everyone)):
        truth, xT = everyone[:count], D(everyone[:count], D.T)
        before, after = (error(restored(R), truth) for R in (state.ema, shipped))
        gain[count] = 1 - after / before
        print(
            f"on {count:3d} digits {before:.3f} -> {after:.3f}: {gain[count]:.0%} "
            "less"
        )

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    assert 0.25 < gain[10] < 0.33 and 0.03 < gain[297] < 0.08

# %% [markdown]
# On the first ten it is more than a quarter, on all of them about a twentieth. Nothing is wrong with the ten; they are few. Look at pictures to see *what* a network does, and at many images to say *how well*. So what *Algorithm 2* makes of $x_T$ hardly improves after three hundred steps. R itself still does, as the next figure shows. Where its gain goes, chapter 4 says.
#
# **Which severities are hard?** The loss averages over t. Split it:

# %% tags=["nbval-ignore-output"]
state.ema.load_state_dict(kept[LOOKS[-1]])
some = data.load(DATASET, "test", config.size, config.zoom)[0][:128]
held_out = data.to_float(some)
networks = {f"{LOOKS[-1]} steps": state.ema}
if DATASET == "digits":
    networks["2,000 steps"] = shipped
split = {}
with torch.no_grad():
    for name, R in networks.items():
        split[name] = [
            (R(D(held_out, t), t) - held_out).abs().mean().item()
            for t in range(1, D.T + 1)
        ]
        print(f"{name}: t = 1 {split[name][0]:.3f}, t = T {split[name][-1]:.3f}")

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
plots.curves(
    {name: (range(1, D.T + 1), losses) for name, losses in split.items()}
    | {"median picture": ([1, D.T], [loss_of["median"]] * 2)},
    alt="Held-out L1 loss against severity, far below the line of the median "
    "picture. After 300 steps it rises from t = 1 to t = T by about a fifth, after "
    "2,000 it begins at half of that and rises by about two thirds.",
    xlabel="severity t",
    ylabel="L1 loss",
)

# %% tags=["hide-cell", "check"]
if DATASET == "digits":
    ours, theirs = split.values()
    assert ours[0] < ours[-1] < 0.65 * loss_of["median"]
    assert theirs[0] < 0.6 * ours[0] and 1.5 < theirs[-1] / theirs[0] < 1.8

# %% [markdown]
# The loss rises with severity, as it must: the more is lost, the more digits fit. That it rises so little is a matter of training: at $t = 1$ the inverse that R is shown is exact, and after so few steps R still has to learn to copy it. The shipped network begins at half of that loss and rises by two thirds.
#
# ## Stop, and lose nothing
#
# Because a step depends only on (seed, rank, step), a checkpoint holds the weights, their average, the optimiser and the step number, and nothing else.
# Stop after three steps, go on in another process, and the sixth step ends in the same bits. We check it:

# %%
short = replace(config, steps=6, batch=16)
D, whole = training.start(short)
for _ in training.train(whole, D, images, short):
    pass

D, part = training.start(short)
for step, _ in training.train(part, D, images, short):
    if step == 3:
        break
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "step-3.pt"
    checkpoints.save_state(path, part, short)
    D, resumed, _ = checkpoints.load_state(path)  # as another process would
for _ in training.train(resumed, D, images, short):
    pass
same = all(
    torch.equal(a, b)
    for a, b in zip(
        whole.ema.state_dict().values(),
        resumed.ema.state_dict().values(),
        strict=True,
    )
)
print("steps taken:", whole.step, resumed.step, "; bit for bit the same:", same)

# %% tags=["hide-cell", "check"]
assert same

# %% [markdown]
# The file is written beside its final name, flushed to disk and renamed, so a power cut leaves either the old checkpoint or the new one, never half of one. It carries
# a SHA-256 of its own bytes and is never unpickled: a damaged or hostile file is refused with a reason.
#
# ## Training images and held-out images
#
# More steps are not always better. A network that has seen each of its images hundreds of times begins to know them by heart: its training
# loss goes on falling while it gets hardly better, or worse, on images that it has not seen. Has ours begun to? And would one that is given 32 digits and no more? Predict both; then we train that one, too, with the simple loop.

# %%
few = images[:32]
by_heart = {"few": {}, "held": {}}
for step, (R, _) in enumerate(learn(few, LOOKS[-1] // 3), 1):
    if step % max(1, LOOKS[-1] // 15) == 0:
        for name, those in (("few", few), ("held", held)):
            by_heart[name][step] = training.validate(R, D, those, config)

# %% tags=["hide-input", "plot", "nbval-ignore-output"]
plots.curves(
    {
        name: (list(told), list(told.values()))
        for name, told in (
            ("all: training images", asked["training images"]),
            ("all: held out", asked["average"]),
            ("32 digits: these", by_heart["few"]),
            ("32 digits: held out", by_heart["held"]),
        )
    },
    alt="Loss against steps. Trained on all digits, the curves for training images "
    "and for held-out images lie together and fall. Trained on 32 digits, the "
    "loss on these falls, and the loss on held-out digits stays behind, well "
    "above it.",
    xlabel="step",
    ylabel="L1 loss",
)

# %% tags=["hide-cell", "check", "nbval-ignore-output"]
if DATASET == "digits":
    last = {name: list(told.values())[-1] for name, told in by_heart.items()}
    assert 1.4 * last["few"] < last["held"] < 1.8 * last["few"]
    seen, unseen = (
        list(asked[name].values()) for name in ("training images", "average")
    )
    gap = [b / a - 1 for a, b in zip(seen, unseen, strict=True)]  # 50, 100, ...
    print(" ".join(f"{100 * each:.1f} %" for each in gap))
    assert 0.02 < gap[0] < 0.055 and gap[0] < gap[-1] < 0.1

# %% [markdown]
# After 300 steps our network has seen each of its 1,350 images fourteen times, and its gap to those that it has not seen is small, and grows: about 4 % at step 50, 6.5 % at step 300. The other one, after a hundred steps, is half as far again from digits that it has not seen as from its 32: what it still learns is mostly about those 32. Its training loss looks fine. Only the images it was not given tell. (That it starts ahead is the loop's doing, which has no warm-up.)
#
# So some have to be set aside. The test images may not decide when to stop, or their numbers would be too good to be true. The command below does what we did at the top of this page: it sets a tenth of the *training* images aside, every tenth, looks at their loss at each checkpoint, and keeps the averaged weights that did best.
# (We once measured this on images that the network had been trained on. The number looked much the same, and meant nothing.)
#
# `validate` draws the same severities and the same latents every time, so two of its values differ by the network alone.

# %% tags=["hide-cell", "check"]
together = torch.cat([images, held]).flatten(1)
assert len(together) == len(all_images)  # nothing is lost
if DATASET == "digits":
    assert len(together.unique(dim=0)) == len(
        all_images
    )  # no digit is on both sides
    assert len(images) == 1350 and round(config.steps * config.batch / 1350) == 14

# %% [markdown]
# ## A recipe that learns fast
#
# Which network, which batch, which learning rate? Nobody can say beforehand; one can predict, measure, and keep what won. We did it for the paper's MNIST blur, on one CPU core, and gave every trial the same work: $12 \cdot 10^{12}$ floating-point operations,
# a minute or a few. The judge is one call of R at $x_T$, for 1,000 held-out training images. The base is a network of width 32 with three levels, 4 x 4 pixels folded, the inverse beside $x_t$, late severities favoured, batches of 128. Five trials change it:
#
# | trial | what is different |
# |---|---|
# | base | nothing |
# | later | late severities are favoured more |
# | 2 x 2 | as "later", and 2 x 2 pixels folded in place of 4 x 4: 3.6 times the work for each image |
# | wider | 48 channels in place of 32: twice the work for each image |
# | small batch | batches of 64, rate 0.003: twice as many steps |
# | no inverse | as "small batch", without the inverse |
#
# Write down the best, the worst, and one that you expect to make no difference. Then look:

# %%
trials = results.load("recipe")["trials"]
names = {
    "no inverse": "P",
    "2 x 2": "E",
    "later": "D",
    "base": "J",
    "wider": "K",
    "small batch": "G",
}
made_of = {name: trials[letter] for name, letter in names.items()}
for name, trial in made_of.items():
    count = trial["network"]["images_seen"]
    print(
        f"{name:11s} {count:7,} images, RMSE {trial['direct']['rmse']:.4f}, "
        f"SSIM {trial['direct']['ssim']:.3f}"
    )
score = {name: trial["direct"]["rmse"] for name, trial in made_of.items()}

# %% tags=["hide-cell", "check"]
seen = {name: trial["network"]["images_seen"] for name, trial in made_of.items()}
sharp = {name: trial["direct"]["ssim"] for name, trial in made_of.items()}
assert score["small batch"] == min(score.values())  # the recipe won
assert score["no inverse"] == max(score.values())
assert score["no inverse"] - score["small batch"] > score["2 x 2"] - score["later"]
assert 3.5 < seen["later"] / seen["2 x 2"] < 3.7
assert score["later"] < score["2 x 2"] - 0.01
assert 2 < seen["base"] / seen["wider"] < 2.3  # twice the work
assert score["wider"] > score["base"] + 0.005
assert score["base"] - score["small batch"] < 0.003
assert sharp["small batch"] > sharp["base"] + 0.01

# %% [markdown]
# *No inverse* is the worst, and that is the largest difference of all: **show the network what survives.** Without $D$'s inverse beside $x_t$ it has to find differences of one 8-bit level by itself, and ends far behind for the same work.
#
# The next is less spectacular: **make an image cheap, so that more of them can be seen.** Nine numbers survive the blur of MNIST (chapter 6 counts them); all else the network must have learnt from other digits. Folding 4 x 4 pixels into channels
# in place of 2 x 2 lets it see 3.6 times as many images for the same work, and that outweighs what it loses in resolution. For the same reason a wider network comes out behind. Smaller batches mean more steps. *Later* in place of *base* makes no difference that one would bet on: one trial is one seed, and differences of 0.002 may be luck.
# `python -m coldlab reproduce recipe` trains them all again; they are told, with five more, in `results/recipe.md`.
#
# ## And on real data, trained for long?
#
# With this recipe one thread of a CPU betters what the paper reports for restoring MNIST with one call of R at $T$ (*direct*). The run, its time, and the paper's Table 1:

# %%
made = results.load("mnist-blur")
reported = results.load("paper")["values"]["mnist-blur"]
ours = made["metrics"]
paper = {
    row: {measure: reported[row][measure][0] for measure in ("rmse", "ssim")}
    for row in reported
}
called = {"degraded": "degraded", "direct": "direct"}
print("RMSE / SSIM    ours            the paper's")
for row, its in called.items():
    both = f"{ours[row]['rmse']:.3f} / {ours[row]['ssim']:.3f}"
    print(f"{row:14s} {both}   {paper[its]['rmse']:.3f} / {paper[its]['ssim']:.3f}")
million = made["parameters"] / 1e6
print(f"ours:  {made['images_seen']:10,} images, {million:.1f} million weights")
print(f"paper: {700_000 * 64:10,} images, 56.6 million weights")
machine = made["machine"]
print(f"{made['command']}: {made['seconds'] / 60:.0f} minutes")
print(f"on {machine['device']}, {machine['threads']} thread(s)")

# %% tags=["hide-cell", "check"]
assert (
    round(ours["degraded"]["rmse"], 3) == paper["degraded"]["rmse"]
)  # the same task
assert ours["degraded"]["ssim"] < 0.02  # and the paper's slip
assert paper["degraded"]["ssim"] == paper["degraded"]["rmse"]
assert ours["direct"]["rmse"] < paper["direct"]["rmse"] - 0.005  # ahead in both
assert ours["direct"]["ssim"] > paper["direct"]["ssim"] + 0.003
assert 700_000 * 64 == 35 * made["images_seen"] and made["parameters"] < 1.2e6
assert made["machine"]["threads"] == 1 and made["config"]["timestep_bias"] == 2
assert score["no inverse"] > score["small batch"] + 0.02
bias = {letter: trials[letter]["improved"]["rmse"] for letter in "ADJ"}
assert bias["A"] < bias["J"] < bias["D"]  # late severities cost Algorithm 2

# %% [markdown]
# The degraded rows say that the task is the same: the same RMSE to the third digit. (The paper's SSIM of that row is a slip of its table, [chapter 2](02_unet.ipynb).) With one call our small network, which is shown $D$'s inverse, is closer to the originals than the paper's
# large one, which is not, by both measures. The run favours late severities (`--timestep-bias 2`: $t$ is the larger of two draws), which helps a single call at $T$. What it costs, [chapter 4](04_sampling.ipynb) shows. (It also moves half of its digits by a pixel or two, enlarges or slants them, so that it restores digits that do not stand where MNIST's do. That costs it 4 percent here.)
#
# What do more steps buy? One network, one degradation: 1,000 steps of 32 images with $t$ uniform, and the 20,000 steps of 64 above. The second saw forty times as many images. Guess its error before you look, as a share of the first one's:

# %%
brief, long = results.load("mnist-blur-1000"), made
for run in (brief, long):
    print(f"{run['config']['steps']:,} steps, {run['images_seen']:,} images:")
    for way in ("direct", "Algorithm 2"):
        got = run["metrics"][way]
        print(f"   {way:12s} RMSE {got['rmse']:.3f}   SSIM {got['ssim']:.3f}")
settings = brief["config"]
differ = {name for name in settings if settings[name] != long["config"][name]}
print("settings that differ:", ", ".join(sorted(differ)))

# %% tags=["hide-cell", "check"]
recipe = {"steps", "batch", "lr", "timestep_bias", "rollout"}
assert differ == recipe | {"shift", "scale", "slant", "augmented"}
trials = results.load("place-recipe")["trials"]
places = [trial["metrics"]["direct"]["rmse"] for trial in trials]
assert 1.03 < places[2] / places[0] < 1.05  # what moving the digits costs
assert long["images_seen"] == 40 * brief["images_seen"]
share = long["metrics"]["direct"]["rmse"] / brief["metrics"]["direct"]["rmse"]
assert 0.9 < share < 0.93
assert (
    long["metrics"]["Algorithm 2"]["rmse"] < brief["metrics"]["Algorithm 2"]["rmse"]
)
assert long["metrics"]["direct"]["ssim"] > brief["metrics"]["direct"]["ssim"] + 0.03

# %% tags=["hide-input", "plot"]
results.picture(
    "mnist-blur",
    alt="Eight test digits: blurred to even grey; restored by the network of 20,000 "
    "steps with one call, all as they were, a little soft; by Algorithm 1, which "
    "loses strokes; by Algorithm 2, sharp, a 4 without its bar, a 9 in two pieces; "
    "by the averaged sampler, much like one call; and the originals.",
)

# %% [markdown]
# Forty times the images take about a twelfth off the error of one call. SSIM gains more. It is no pure comparison, because nine settings differ, and one run is one seed; but it tells the order of things. A thousand steps are most of the way.
#
# And there is an end to the way. Look at the last digit, a 9. With one call it is nearly the 9 that it was, and soft where R is in doubt. Algorithm 2 is in no doubt, and breaks it in two; the first 4 loses its bar. (*Averaged* is a third sampler; chapter 4 has it.)
# In float32 some nine numbers survive this blur. Where they do not settle which digit it was, no training brings back what is gone.
#
# The page of [measured results](results.md) has inpainting and super-resolution too, beside the paper's values.
#
# ## From the command line
#
# The same loop, with a progress bar, a log and pictures, is one command. These lines are what you take home:
#
#     python -m coldlab train                                          # digits, about two minutes on two cores
#     python -m coldlab train --dataset mnist --degradation blur       # the paper's MNIST settings
#     python -m coldlab train --dataset path/to/my/photos --size 64 --degradation pixelate --steps 5000
#     python -m coldlab train --resume --out runs/digits-blur          # after Ctrl-C, a crash, an empty battery
#     torchrun --nproc-per-node 4 -m coldlab train --batch 256         # four GPUs, 64 images each
#     python -m coldlab bench                                          # how fast is this machine?
#
# A run leaves a folder that explains itself: `config.json` (settings, machine, versions), `log.jsonl` (a line every 25 steps), the last two states to resume from,
# the best weights, the loss curve, and pictures of restored images from every quarter of the way.
#
# **Where a GPU changes what.** Nothing in the text of the loop: the images move to the card once, as bytes, and stay there; indices, severities and noise are
# drawn on it; no step waits for Python to read a number. What changes is the size of things worth trying: the paper's 56.6 million weights instead of
# our one million, batches of hundreds, and `--compile`, which fuses the many small operations of a ConvNeXt block. We had none to measure with, so there is no number here.
#
# **A long run in Colab.** Its machines vanish, with all that lies on them, when you close the page or have used your share. So `long.run` keeps the run on your Drive (Colab asks you first), and the same cell, run again on another day, goes on where the last checkpoint was.
# Before it begins it says whether there is a GPU, and tries a few steps to say how long all of them will take. A T4, the GPU that Colab lends freely, has no bfloat16 of its own; there R runs in float32. Anywhere but in Colab, the run is kept in the folder `runs`.

# %%
from coldlab.lab import experiments, long

LONG = ""  # "mnist-blur": the 20,000 steps above; "cifar10-blur": see the results
if LONG:
    long.run(experiments.experiment(LONG).config(), LONG)

# %% [markdown]
# With images of your own:
#
#     long.run(training.Config(dataset="path/to/my/photos", size=64), "photos")
#
# ## What goes wrong
#
# **The loss is not a number.** A learning rate that is far too high does it. The loop does not look at the loss, so it records the first bad step on the device, and
# whoever saves or logs calls `check_finite`:

# %%
wild = replace(config, steps=15, batch=16, lr=1e6, warmup=0)
D, wild_state = training.start(wild)
for _ in training.train(wild_state, D, images, wild):
    pass
try:
    training.check_finite(wild_state)
    outcome = "finite"
except coldlab.ColdlabError as message:
    outcome = "stopped: " + str(message).split(" at step")[0]
print(outcome)

# %% tags=["hide-cell", "check"]
assert outcome.startswith("stopped")

# %% [markdown]
# **Training a network on the last severity only.** It looks tempting: restoration starts at $t = T$, so why learn the others? Because every sampler with more than one step visits
# them. Exercise 4 measures what such a specialist is worth, lower down and at $T$ itself, and how easily such a measurement goes wrong.
#
# ## Exercises
#
# > **Exercise 2.** The L1 loss is minimised by the median, the L2 loss by the mean. Take a pixel that is white in 40 of 100 images that all fit the same $x_t$, and black in
# > 60. What does R answer there after perfect training with `loss="l1"`, and with `loss="l2"`? Check it by searching over all constant answers.

# %% tags=["hide-cell", "solution"]
pixel = torch.tensor([1.0] * 40 + [-1.0] * 60)
answers = torch.linspace(-1, 1, 201)
l1 = answers[(pixel[:, None] - answers).abs().mean(0).argmin()].item()
l2 = answers[(pixel[:, None] - answers).square().mean(0).argmin()].item()
print(f"L1: {l1:.2f} (black, sure of itself)   L2: {l2:.2f} (grey, hedging)")
assert l1 == -1.0 and abs(l2 - pixel.mean().item()) < 0.01

# %% [markdown]
# > **Exercise 3.** The average of the weights starts with decay $\min(0.995, (1 + k)/(10 + k))$ at step $k$. Why not 0.995 from the beginning? Compute how much weight the random
# > initial network still has in the average after 50 steps, with and without this warm-up.

# %% tags=["hide-cell", "solution"]
with_warmup = (
    torch.tensor(
        [min(0.995, (1 + k) / (10 + k)) for k in range(50)], dtype=torch.float64
    )
    .prod()
    .item()
)
without = 0.995**50
print(
    f"share of the random start after 50 steps: {with_warmup:.0e} with warm-up, "
    f"{without:.2f} without"
)
assert with_warmup < 1e-6 and without > 0.6

# %% [markdown]
# > **Exercise 4.** Train a specialist that only ever sees $t = T$ for 100 steps of 32 images, and an ordinary network with the same 100 steps. Which of the two is better at $t = T$, and which at $t = 3$? Predict, then measure.
# > The loop needs no change. Here are two ways: a huge `timestep_bias` (the largest of many draws is always $T$), or D wrapped so that it ignores the severity it is asked for. Only one of them is right. Which, and why?


# %% tags=["hide-cell", "solution", "nbval-ignore-output"]
class Always(torch.nn.Module):
    """D at severity T, whatever is asked. Looks right, and is not."""

    def __init__(self, D):
        super().__init__()
        self.D, self.T, self.draw = D, D.T, D.draw

    def forward(self, x0, t, z=None):
        return self.D(x0, self.T, z)


def pupil(wrap=lambda D: D, **changes):
    """Held-out loss at t = 3 and at T after 100 steps of 32 images."""
    brief = replace(config, steps=min(100, config.steps), batch=32, **changes)
    D, state = training.start(brief)
    for _ in training.train(state, wrap(D), images, brief):
        pass
    with torch.no_grad():
        return {
            t: (state.ema(D(held_out, t), t) - held_out).abs().mean().item()
            for t in (3, D.T)
        }


found = {
    "ordinary": pupil(),
    "specialist": pupil(timestep_bias=1e9),
    "wrapped D": pupil(Always),
}
for name, loss in found.items():
    print(f"{name:10s} loss at t = 3: {loss[3]:.3f}, at t = {D.T}: {loss[D.T]:.3f}")

# %% tags=["hide-cell", "solution"]
# At T it is a tie: the specialist gains nothing by seeing x_T twenty times as often.
# At t = 3 it is behind.
#
# The wrapped D changes the picture and not the label. R is still told the drawn t,
# and the inverse that R is shown is
# computed with it: in 19 of 20 pairs that t is wrong. So it comes out worse at T,
# too, and it is tempting to explain why.
# An earlier version of this page did: "easy severities teach shapes that help with
# hard ones". It explained an error of
# the experiment. Before you explain a surprise, check that you measured what you
# meant.
u = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
always = (D.T * u ** (1 / 1e9)).ceil()  # how the loop draws t then
assert always.min() == D.T
if DATASET == "digits":
    ordinary, specialist, wrapped = (
        found[name] for name in ("ordinary", "specialist", "wrapped D")
    )
    assert abs(specialist[D.T] - ordinary[D.T]) < 0.015  # at T: a tie
    assert specialist[3] > ordinary[3] + 0.01  # at t = 3 the specialist is behind
    assert (
        wrapped[D.T] > max(specialist[D.T], ordinary[D.T]) + 0.01
    )  # and the wrong one is behind everywhere
    assert wrapped[3] > specialist[3]

# %% [markdown]
# > **Exercise 5.** A batch of 64 images and 20 severities: how many images of each severity does R see in 300 steps, on average? How many
# > passes over our 1,350 digits are the paper's 700,000 steps of 64 images?

# %% tags=["hide-cell", "solution"]
print(
    "images per severity:",
    64 * 300 // 20,
    "   passes over 1,350 images:",
    f"{700_000 * 64 / 1350:,.0f}",
)
assert 64 * 300 // 20 == 960

# %% [markdown]
# ## Recap
#
# - The objective is one line: restore the clean image from every severity in $1..T$, L1 by default.
# - The loop is a dozen lines: draw, ruin, restore, compare, step. The real one adds four habits and four switches. It is a generator whose randomness is a function of (seed, rank, step). Stopping and resuming change nothing.
# - A baseline turns a loss into knowledge: below the median picture, R uses its input. Without the baseline of the same images the best curve may belong to the worst network.
# - Training images say whether R learns, held-out images what it has learned.
# - Pictures say what a network does, many images how well: ten digits promised a quarter, all of them a twentieth.
# - A surprise is first a reason to check the measurement.
# - L1 means medians. Where many images fit, R answers with the median of all of them, and no amount of training makes it one of them.
#
# **Further reading.** A. Bansal et al., [Cold Diffusion](https://arxiv.org/abs/2208.09392), section 3, for the objective. T. Karras et al.,
# [Elucidating the Design Space of Diffusion-Based Generative Models](https://arxiv.org/abs/2206.00364), for what careful preconditioning and averaging do in the noisy case.
# Next: [naive and improved sampling](04_sampling.ipynb), where this network is put to work.
