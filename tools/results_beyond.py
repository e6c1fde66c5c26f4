"""The sections of the page of results on what chapters 8 to 10 measure: transforms, blur or noise, walks, classes."""

from cells import NARROW, drawn, listed, spanned, within
from claims import apart

from coldlab import sampling
from coldlab.lab import blur_or_noise as race
from coldlab.lab import transforms as study

LATENT = {"none": "no", "read": "read off", "told": "told"}


def transforms(found, runs, paper):
    """Chapter 8: many transforms by one recipe."""
    if (run := found.get("transforms")) is None:
        return
    measured = run["transforms"]
    rows = list(dict.fromkeys(row for of in measured.values() for row in of["metrics"]))
    net = next(iter(measured.values()))["network"]
    yield from ("## Other transforms", "")
    yield (
        f"`{run['command']}`, explained in [chapter 8](08_transforms.ipynb). A small network for each of "
        f"{len(measured)} transforms, all by one recipe ({net['steps']:,} steps, {net['images_seen']:,} images seen), "
        f"each from the severity that leaves its images an RMSE of about {run['damage']:.2f}, or from $T$ where none "
        f"does. RMSE on {run['test_images']:,} test images, at most {run['calls']} calls; in bold the lowest of each "
        "that may be had without being told more."
    )
    yield from ("", f"| transform | from | $z$ | {' | '.join(rows)} |", "|---|---|---|" + "---:|" * len(rows))
    for name, of in measured.items():
        values = {row: values["rmse"] for row, values in of["metrics"].items()}
        blind = {row for row in rows if of["latent"] != "told" or row in ("degraded", "direct", study.UNTOLD)}
        lowest = min(f"{values[row]:.3f}" for row in blind if row in values)
        cells = {row: f"{values[row]:.3f}" if row in values else "" for row in rows}
        first = [row for row in rows if cells[row] == lowest and row in blind]
        cells |= {row: f"**{lowest}**" for row in first if len(first) < 3}  # three that are equal are no winners
        yield (
            "| "
            + " | ".join([name, f"{of['start']}{NARROW}of{NARROW}{of['T']}", LATENT[of["latent"]], *cells.values()])
            + " |"
        )
    nearer, told = {"yes": [], "no": [], "undecided": []}, {}
    for name, of in measured.items():
        nearer[apart(of, "rmse", "Algorithm 2", "direct").partition(" ")[0]].append(name)
        if study.UNTOLD in of["metrics"]:
            told[name] = of["metrics"][study.UNTOLD]["rmse"] > of["metrics"]["direct"]["rmse"]
    sentence = "Algorithm 2 is nearer than one call"
    for answer, words in (("yes", "under {}"), ("no", "further under {}"), ("undecided", "undecided under {}")):
        if nearer[answer]:
            sentence += (" " if answer == "yes" else "; ") + words.format(listed(nearer[answer]))
    yield from ("", f"{sentence}: by the 95 % interval of the difference, each draw taking the same images of both.")
    if told and all(told.values()):
        yield (
            f"**But look at $z$.** Under {listed(list(told))} the sampler is *told* the flakes, the noise or the other "
            "picture, which nobody has who holds a ruined image. Where it has to estimate them, it is worse than one "
            "call under each of them (last column)."
        )
    columns = "degraded, direct, Algorithm 1, Algorithm 2, averaged, original"
    alt = f"Nine transforms of a cat and a ship, a row each: {columns}."
    yield from ("", *drawn("transforms", alt))


def blur_or_noise(found, runs, paper):
    """Chapter 9: what one call restores where four degradations leave equally much, and new digits."""
    if (run := found.get("blur-or-noise")) is None:
        return
    plan, arms, levels = run["plan"], run["arms"], run["levels"]
    seen = next(iter(arms.values()))["training"][0]["images_seen"]
    yield from ("## Is blur harder to undo than noise?", "")
    yield (
        f"`{run['command']}`, explained in [chapter 9](09_blur_or_noise.ipynb). MNIST; severities are matched where "
        f"the best linear estimate is equally wrong. One small network each ({seen:,} images seen, {plan['seeds']} "
        f"trainings, a search for a recipe of equal effort), {plan['test']} test images, one call. RMSE with the 95 % "
        "interval of the mean over trainings, and what the network takes off the linear error (less than nothing: it "
        "is worse)."
    )
    heads = (f"linear error {level:.3f}" for level in levels)
    yield from ("", f"| | $x_t$ kept as | {' | '.join(heads)} |", "|---|---|" + "---|" * len(levels))
    gains = {name: [1 - at["network"]["rmse"]["mean"] / at["linear"]["rmse"]["mean"] for at in arm["levels"]]
             for name, arm in arms.items()}  # fmt: skip
    for name, arm in arms.items():
        cells = []
        for gain, at in zip(gains[name], arm["levels"], strict=True):
            error = at["network"]["rmse"]
            cells.append(
                f"{within(error['mean'], error['interval'], '.3f')} ({100 * gain:+.0f}{NARROW}%)".replace("-", "−")
            )
        yield "| " + " | ".join([name.partition(",")[0], arm["x_t"], *cells]) + " |"
    order = [[name.replace(", ", " in ") for name in sorted(gains, key=lambda n: -gains[n][k])] for k in (0, -1)]
    yield from (
        "",
        f"Where little is lost the order is {listed(order[0])}, where much is lost {listed(order[1])}. So *harder* is "
        "said of a degradation, and is a property of a level, a precision, a network, its training and a sampler.",
    )
    alt = "Eight digits at the last level, ruined and restored, two rows for each degradation; last the originals."
    yield from ("", *drawn("blur-or-noise", alt))
    yield from ("", *new_by_both(arms))


def new_by_both(arms):
    """What either side generates at that cost."""
    keys = {"recognised": ".2f", "entropy": ".2f", "frechet": ".1f", "precision": ".2f", "recall": ".2f"}
    rows = {}
    for arm, side in race.SIDES.items():
        made = arms.get(arm, {}).get("generation", {})
        named = {"best": side, "fixed z": f"{side}, $z$ kept", "8-bit start": f"{side}, start from a file"}
        rows |= {name: made[way] for way, name in named.items() if way in made}
    if not rows:
        return
    yield "New digits at that cost, from noise and from what survives a blur (means of the trainings):"
    yield from ("", f"| from | {' | '.join(keys)} |".replace("frechet", "Fréchet"), "|---|" + "---:|" * len(keys))
    for name, row in rows.items():
        cells = [within(row[key]["mean"], row[key]["interval"], form) for key, form in keys.items()]
        yield "| " + " | ".join([name, *cells]) + " |"
    yield from (
        "",
        "The two were not given the same task: the cold start holds numbers that were fitted to real digits.",
    )


def walks(found, runs, paper):
    """Chapter 10: samplers by the number of their calls."""
    if (run := found.get("walks")) is None:
        return
    yield from ("## Other walks", "")
    yield (
        f"`{run['command']}`, explained in [chapter 10](10_beyond.ipynb): the same networks, the same number of calls, "
        "other samplers. RMSE, and whether it beats one call (−), is beaten by it (+) or cannot be told from it (=), "
        "by the 95 % interval of the paired difference. In bold the lowest of each network."
    )
    yield from ("", "| | 1 call | 3 calls | 5 calls | 10 calls | every severity |", "|---" + "|---:" * 5 + "|")
    told = []
    for name, of in run["walks"].items():
        counts = sorted({row["calls"] for row in of["rows"]})
        lowest = min(row["rmse"] for row in of["rows"])
        ways = {}
        for row in of["rows"]:
            even = row["severities"] == sampling.evenly(row["severities"][0], len(row["severities"]) - 1)
            ways.setdefault(row["sampler"] + ", best severities" * (not even), {})[row["calls"]] = row
        yield f"| **{name}** ({of['images']:,} images) | {of['direct']['rmse']:.4f} | | | | |"
        for way, there in ways.items():
            cells = []
            for count in counts:
                low, high = there[count]["minus_direct"] if count in there else (None, None)
                mark = "" if low is None else "−" if high < 0 else "+" if low > 0 else "="
                cell = f"{there[count]['rmse']:.4f}" if mark else ""
                bold = mark and there[count]["rmse"] == lowest
                cells.append(f"**{cell}**{NARROW}{mark}" if bold else f"{cell}{NARROW}{mark}".strip())
            yield "| " + " | ".join([way, "", *cells]) + " |"
        last = ways["improved"][counts[-1]]["minus_direct"]
        told.append((name, last[0] > 0, [n for n in counts if ways["averaged"][n]["minus_direct"][1] < 0]))
    worse = [name for name, lost, _ in told if lost]
    if worse:
        yield from (
            "",
            "With a call for each severity, as the paper takes them, Algorithm 2 is worse than one call on "
            f"{listed(worse)}.",
        )
    wins = [f"{name} with {listed([str(n) for n in counts])} calls" for name, _, counts in told if counts]
    if wins:
        mean = "The running mean of the guesses (*averaged*, its weight chosen by training images)"
        yield f"{mean} beats one call on {'; '.join(wins)}."


def as_a_crowd(row):
    """The cells of Fréchet distance, precision and recall."""
    return [within(row[key], row["intervals"][key], ".2f") for key in ("frechet", "precision", "recall")]


def classes(found, runs, paper):
    """Chapter 10: digits of a class that one asks for."""
    if (run := found.get("classes")) is None:
        return
    of = run["classes"]
    yield from ("## Digits of a class that one asks for", "")
    yield (
        f"`{run['command']}`, explained in [chapter 10](10_beyond.ipynb). {of['per_class']} digits of each class, "
        f"{of['calls']} calls, temperature {of['temperature']}, read by `{of['classifier']}`. The class may be in the "
        "start, drawn from its own mixture, and be told to the network (guidance $w$)."
    )
    yield from ("", "| start | told | read as asked | of the worst class | Fréchet | precision | recall |")
    yield "|---|---|---:|---:|---:|---:|---:|"
    for row in of["rows"]:
        share = sum(row["read_as_asked"]) / len(row["read_as_asked"])
        start, told = (
            "of the class" if row["prior"] else "of any",
            f"$w = {row['guidance']:g}$" if row["guidance"] else "no",
        )
        shares = (spanned(v, row["intervals"][k], ".1%") for k, v in (("asked", share), ("least", row["least"])))
        yield "| " + " | ".join([start, told, *shares, *as_a_crowd(row)]) + " |"
    yield "| " + " | ".join(["real training digits", "", "", "", *as_a_crowd(of["real"])]) + " |"
    yield from ("", *drawn("classes", "Ten rows of ten generated digits, one row for each class that was asked for."))


PARTS = (transforms, blur_or_noise, walks, classes)
