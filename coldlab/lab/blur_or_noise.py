"""Is blur harder to undo than noise? Four ways to ruin digits, restored and generated from at equal cost (chapter 9).

The idea that holds this file together: nothing differs but the degradation. One network, one number of images, steps
and calls, one search for a recipe on each side; and severities are matched by what they leave (`matched`), not by t.
"""

import json
import time
from dataclasses import asdict, dataclass

import torch
from safetensors.torch import load_file, save_file

from .. import data, evaluation, generation, metrics, sampling, storage
from ..data import to_float, to_unit
from ..degradations import Blur, Mask, Noise, Pixelate
from ..training import Config
from . import results
from .matched import (
    FILE,
    FLOAT,
    ROUNDING,
    Linear,
    build,
    degraded,
    judged,
    learn,
    moments,
    nearest,
    restored,
    rounded,
    wiener,
)

NAME = "blur-or-noise"
RECIPES = {f"{loss}, bias {bias}": dict(loss=loss, timestep_bias=bias) for loss in ("l1", "l2") for bias in (1.0, 2.0)}
DRAWS = {f"{n} calls, temperature {t}": (n, t) for n in (20, 3) for t in (1.0, 0.8)}
BITS = (4, 6, 8, 10, 12, 14, 16, 18, 20)
SIDES = {"noise": "hot", "blur, float32": "cold"}  # the two that images are made with
RIVALS = ("noise", "blur")  # the two that are trained longer, too
T_3 = 4.303  # Student's quantile for the 95 % interval of the mean of three
PICTURED = 8


@dataclass(frozen=True)
class Plan:
    """How much is spent: steps of a network and of a trial, seeds, images judged and generated, Gaussians, calls."""

    dataset: str = "mnist"
    width: int = 16
    batch: int = 64
    steps: int = 600
    longer: int = 2000  # of one more network each, by noise and by blur
    lr: float = 4e-3
    trial: int = 120
    seeds: int = 3
    test: int = 400
    generated: int = 1000
    gaussians: int = 40
    calls: int = 5  # of a restoration by Algorithm 2, at most


def arms(size=32):
    """{name: (D, how x_t comes)}: four degradations through 8-bit files, and blur as float32 once more."""
    return {
        "noise": (Noise(size, T=20), FILE),
        "blur": (Blur(size), FILE),
        "pixelate": (Pixelate(size, T=4), FILE),
        "mask": (Mask(size, T=20, kernel_std=0.35, centre="centred"), FILE),
        "blur, float32": (Blur(size), FLOAT),
    }


def measure(out, path, command, device=None):
    """`compare` with the plan that chapter 9 reads, on the CPU whatever the device."""
    return compare(out, path, command)


def compare(out, path, command, plan=Plan()):
    """Do all of it on the CPU, and write the manifest `path` with two pictures beside it; returns the path.

    out: a folder for networks and for what each arm came to; what is there is not done again.
    """
    began, kinds = time.time(), arms()
    images, _ = data.load(plan.dataset, "train", 32)
    test, _ = data.load(plan.dataset, "test", 32)
    held = len(images) // 12  # of the training images: they choose the recipes
    known = moments(images[:-held])
    D, _ = kinds["pixelate"]  # the one with the fewest severities says where the others are looked at
    levels = [wiener(D, t, *known, ROUNDING[FILE])[2] for t in range(1, D.T)]
    report = {"plan": asdict(plan), "levels": levels, "arms": {}}
    given = plan, out, images[:-held], images[-held:], test, known, levels
    for name, (D, how) in kinds.items():
        report["arms"][name] = found = cached(out / f"{name}.json", Arm(name, D, how, *given).measure)
        found["levels"] = [levelled(found, level) for level in levels]
    report["longer"] = {}
    for name in (name for name in RIVALS if name in kinds):
        arm, recipe = Arm(name, *kinds[name], *given), report["arms"][name]["recipe"]
        report["longer"][name] = cached(out / f"{name}, longer.json", lambda arm=arm, recipe=recipe: arm.longer(recipe))
    report["bits"] = cached(out / "bits.json", lambda: by_bits(kinds, known, report["arms"]))
    report["seconds"] = time.time() - began
    results.save(path, command, report)
    draw(path, out, kinds)
    return path


def cached(path, make):
    """What `path` holds, or what make() returns, written there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.write_json(path, make())
    return json.loads(path.read_text(encoding="utf-8"))


def levelled(found, level):
    """{row: {measure: `spread`}} where the linear estimate's RMSE is `level`, between the two severities around it."""
    errors = {int(t): rows["linear"]["rmse"]["mean"] for t, rows in found["restored"].items()}
    above = min((t for t in errors if errors[t] >= level), default=max(errors))
    below = max((t for t in errors if t < above), default=above)
    w = (level - errors[below]) / (errors[above] - errors[below]) if above > below else 1.0
    w = min(1.0, max(0.0, w))  # beyond the last severity: the last
    one, other = (found["restored"][str(t)] for t in (below, above))

    def between(a, b):
        return spread([(1 - w) * u + w * v for u, v in zip(a["values"], b["values"], strict=True)])

    return {row: {m: between(one[row][m], other[row][m]) for m in one[row]} for row in one}


def by_bits(kinds, known, found):
    """{name: [error for each of BITS]}: of the linear estimate at the highest matched severity, by precision of x_t."""
    rounding = [2 / (2**bits - 1) / 12**0.5 for bits in BITS]
    files = {name: D for name, (D, how) in kinds.items() if how == FILE}
    return {
        name: [wiener(D, found[name]["matched"][-1], *known, sigma)[2] for sigma in rounding]
        for name, D in files.items()
    }


class Arm:
    """One degradation: its linear estimates, its networks, and what they come to."""

    def __init__(self, name, D, how, plan, out, training, held, test, known, levels):
        self.name, self.D, self.how, self.plan, self.out = name, D, how, plan, out
        self.training, self.held, self.test, self.known, self.levels = training, held, test[: plan.test], known, levels
        self.all_test = test

    def begin(self):
        self.linear = Linear(self.D, *self.known, self.how)
        self.at = [nearest(self.linear.rmse, level) for level in self.levels]

    def longer(self, recipe):
        """{t: rows of measures} of a network that was trained for longer, at the matched severities."""
        self.begin()
        R = self.network(recipe, self.plan.longer, 0)
        found = {t: judged(restored(R, self.D, self.how, self.test, t)) for t in self.at}
        return {"restored": found} | self.told(recipe, self.plan.longer, 0)

    def measure(self):
        """Everything that is reported of it."""
        self.begin()
        if self.name in SIDES:
            self.prior = generation.prior_of(self.D, self.training, components=self.plan.gaussians)
        trials = {recipe: self.tried(recipe) for recipe in RECIPES}
        best = min(trials, key=lambda recipe: trials[recipe]["restoration"])
        runs = [self.network(best, self.plan.steps, seed) for seed in range(self.plan.seeds)]
        found = {
            "degradation": repr(self.D),
            "x_t": self.how,
            "expected": self.linear.rmse,
            "matched": self.at,
            "trials": trials,
            "recipe": best,
            "training": [self.told(best, self.plan.steps, seed) for seed in range(self.plan.seeds)],
            "parameters": sum(p.numel() for p in runs[0].net.parameters()),
            "restored": {t: self.by_seed(runs, t, self.how) for t in range(1, self.D.T + 1)},
            "not told": {t: self.by_seed(runs, t, FLOAT if self.how == FILE else FILE) for t in self.at},
            "walks": {t: self.walks(runs, t) for t in self.at},
        }
        rows = restored(runs[0], self.D, self.how, self.test[:PICTURED], self.at[-1])
        if self.name in SIDES:
            found["generation"], rows["new"] = self.generate(trials)
        save_file({row: x.contiguous() for row, x in rows.items()}, self.out / f"{self.name}.pictures.safetensors")
        return found

    def network(self, recipe, steps, seed):
        """R of a recipe: from the folder, or trained."""
        path = self.path(recipe, steps, seed)
        if not path.exists():
            made = dict(width=self.plan.width, batch=self.plan.batch, lr=self.plan.lr, steps=steps, seed=seed)
            config = Config(self.plan.dataset, self.name, **made, **RECIPES[recipe])
            began = time.time()
            R = learn(self.D, self.how, self.linear, self.training, config)
            storage.write_json(path.with_suffix(".json"), {"seconds": round(time.time() - began, 1)})
            save_file({name: w.contiguous() for name, w in R.net.state_dict().items()}, path)
        R = build(self.linear, self.plan.width).requires_grad_(False).eval()
        R.net.load_state_dict(load_file(path))
        return R

    def path(self, recipe, steps, seed):
        return self.out / f"{self.name}, {recipe}, {steps}, {seed}.safetensors"

    def told(self, recipe, steps, seed):
        seconds = json.loads(self.path(recipe, steps, seed).with_suffix(".json").read_text(encoding="utf-8"))
        return {"seed": seed, "steps": steps, "images_seen": self.plan.batch * steps} | seconds

    def tried(self, recipe):
        """What a short run of a recipe comes to on held-out training images: less is better, for both."""
        R, ratios = self.network(recipe, self.plan.trial, 0), []
        for t in self.at:
            found = judged(restored(R, self.D, self.how, self.held[: self.plan.test], t))
            ratios.append(found["network"]["rmse"] / found["linear"]["rmse"])
        score = {"restoration": sum(ratios) / len(ratios)}
        if self.name in SIDES:
            made = made_by(R, self.prior, self.plan.generated // 2, *next(iter(DRAWS.values())))
            score["frechet"] = Crowd(self.plan, self.held)(made)["frechet"]
        return score

    def by_seed(self, runs, t, how):
        """{row: {measure: `spread` over the seeds}} at severity t."""
        found = [judged(restored(R, self.D, how, self.test, t)) for R in runs]
        return {row: {m: spread([one[row][m] for one in found]) for m in found[0][row]} for row in found[0]}

    def walks(self, runs, t):
        """{sampler: `spread` of its RMSE}: Algorithm 2 from severity t, with noise that is estimated, and told."""
        ways = {"estimated": False, "fixed": True} if self.D.needs_z else {"Algorithm 2": False}
        calls = min(t, self.plan.calls)
        found = {way: spread([walked(R, self, t, calls, fixed) for R in runs]) for way, fixed in ways.items()}
        return {"calls": calls} | found

    def generate(self, trials):
        """(what came of it, images): the recipe and the draws that do best on held-out images, then every seed."""
        recipe = min(trials, key=lambda recipe: trials[recipe]["frechet"])
        runs = [self.network(recipe, self.plan.steps, seed) for seed in range(self.plan.seeds)]
        crowd, count = Crowd(self.plan, self.held), self.plan.generated
        few = count // 2
        tried = {name: crowd(made_by(runs[0], self.prior, few, *draw))["frechet"] for name, draw in DRAWS.items()}
        draw, crowd = DRAWS[min(tried, key=tried.get)], Crowd(self.plan, self.all_test)
        found, pictured = {"recipe": recipe, "draws": tried, "chosen": min(tried, key=tried.get)}, None
        ways = (
            {"best": {}, "fixed z": dict(fixed=True)} if self.D.needs_z else {"best": {}, "8-bit start": dict(how=FILE)}
        )
        for way, changes in ways.items():
            made = [made_by(R, self.prior, count, *draw, seed=seed, **changes) for seed, R in enumerate(runs)]
            every = [crowd(x) for x in made]
            found[way] = {measure: spread([one[measure] for one in every]) for measure in every[0]}
            pictured = pictured if pictured is not None else to_unit(made[0][:PICTURED])
        found["real"] = crowd(to_float(self.training[torch.arange(count) * len(self.training) // count]))
        return found, pictured


def walked(R, arm, t, calls, fixed):
    """RMSE of Algorithm 2 from severity t. fixed: the sampler is told the true z; else it is estimated at each call."""
    x0, D = to_float(arm.test), arm.D
    x, z = degraded(D, arm.how, x0, t)
    way = D.infer if D.needs_z and not fixed else z
    *_, (_, x, _) = sampling.improved(R, D, x, way, sampling.evenly(t, calls))
    return metrics.rmse(to_unit(x), to_unit(x0)).item()


def spread(values):
    """{"values", "mean", "interval"}: Student's 95 % interval of the mean of three seeds (None for fewer)."""
    found = torch.tensor(values, dtype=torch.float64)
    mean, side = found.mean().item(), T_3 * found.std().item() / 3**0.5 if len(values) == 3 else None
    return {"values": list(values), "mean": mean, "interval": None if side is None else [mean - side, mean + side]}


class Crowd:
    """What is reported of generated images in [-1, 1], beside real ones, uint8."""

    def __init__(self, plan, real):
        self.net = metrics.classifier(plan.dataset)
        self.features = metrics.extract(self.net, real)
        self.moments, self.count = metrics.moments(self.features), plan.generated

    def __call__(self, x):
        found, _ = evaluation.crowd(self.net, to_unit(x), self.features, self.count, moments=self.moments)
        return {name: value for name, value in found.items() if name != "histogram"}


def made_by(R, prior, count, calls, temperature, seed=0, fixed=False, how=FLOAT):
    """`count` new images: Algorithm 2 from draws of the prior, brought nearer to their middle by the temperature.

    fixed: the noise that was drawn is kept, in place of one estimated at each call. how: the precision of the start.
    """
    cold = isinstance(prior, generation.Prior)
    x, z = prior.sample(count, seed, temperature) if cold else prior.sample(count, seed)
    x, z = (rounded(x, how), z) if cold else (temperature * x, temperature * z)  # the middle of noise is 0
    path, done = sampling.evenly(prior.D.T, calls), []
    for part in torch.arange(count).split(250):
        *_, (_, new, _) = generation.walk(R, prior, x[part], z if z is None else z[part], path, fixed)
        done.append(new)
    return torch.cat(done)


def draw(path, out, kinds):
    """The pictures: the last level's test images, degraded and restored, and new images of both sides."""
    from .. import plots

    kept = {name: load_file(out / f"{name}.pictures.safetensors") for name in kinds}
    rows = {
        f"{name}{told}": 2 * x[row] - 1
        for name, x in kept.items()
        for row, told in (("degraded", ""), ("network", ": restored"))
    }
    rows["original"] = 2 * kept["noise"]["original"] - 1
    plots.rows(rows, "Test digits, degraded in five ways that leave equally much, and restored.").save(
        path.with_suffix(".webp")
    )
    new = {SIDES[name]: (2 * kept[name]["new"] - 1) for name in SIDES}
    plots.rows(new, "New digits from noise and from blur.").save(path.with_name(f"{path.stem}-new.webp"))


def lines(manifest):
    """The lines of a table of what `compare` found: at each matched level, the linear estimate and the network."""
    yield f"{'':16s}{'recipe':>16s}" + "".join(f"{f'at {level:.3f}':>16s}" for level in manifest["levels"])
    for name, arm in manifest["arms"].items():
        cells = (f"{at['linear']['rmse']['mean']:.3f} {at['network']['rmse']['mean']:.3f}" for at in arm["levels"])
        yield f"{name:16s}{arm['recipe']:>16s}" + "".join(f"{cell:>16s}" for cell in cells)
    for name, side in SIDES.items():
        best = manifest["arms"][name]["generation"]["best"]
        yield f"new, {side:11s}" + "".join(f"  {measure} {value['mean']:.3f}" for measure, value in best.items())
