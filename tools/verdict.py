"""The first lines of the page of results: what its numbers come to, and what they do not say."""

import comparison
from cells import RMSE, SSIM, labelled, listed, of, paper_cell, what
from claims import apart, claims

from coldlab.lab import studies
from coldlab.lab.reproduce import cores


def tasks(runs, paper):
    """{name: run} with one run for each task that the paper has, the first that is no side issue."""
    chosen = {}
    for name, run in runs.items():
        if what(name).preset in paper and not what(name).brief:
            chosen.setdefault(what(name).preset, (name, run))
    return dict(chosen.values())


def counted(names, of_all, more=""):
    """How many and which, in words for a sentence: "2 of 6 tasks (a and b)", "none", "all 6"; more: " of 6 tasks"."""
    if not names:
        return "none" + more
    return f"all {of_all}" if len(names) == of_all else f"{len(names)}{more} ({listed(names)})"


def named(name):
    """A task in two words, for lists."""
    return what(name).title.replace(", ", " ")


def beside_the_paper(chosen, paper):
    """How many tasks are met, by one call and by the samplers."""
    marks = {"one call": {}, "Algorithm 2": {}, "the best": {}}
    for name, run in chosen.items():
        for way, (_, _, _, mark) in zip(marks, comparison.compared(run, paper[what(name).preset]), strict=False):
            marks[way][named(name) + "†" * mark.endswith("†")] = mark.removesuffix("†")
    count = len(chosen)

    def which(way, mark, more=""):
        return counted([task for task, found in marks[way].items() if found == mark], count, more)

    def how_many(way):
        return sum(found == comparison.MET for found in marks[way].values())

    met, part, missed = comparison.MET, comparison.PART, comparison.MISSED
    yield (
        "- **One call of R** is at least as good as the paper's one call by RMSE and by SSIM on "
        f"{which('one call', met, f' of {count} tasks')}, by one of the two on {which('one call', part)}, "
        f"by neither on {which('one call', missed)}."
    )
    yield (
        "- **Sampling.** Algorithm 2 with a call for each severity, as the paper runs it, is as good as the paper's on "
        f"{how_many('Algorithm 2')} of {count} tasks, the best of our samplers on {how_many('the best')}."
    )


def orders(chosen):
    """What iterating buys, by RMSE and by the classifier's distance: in how many tasks, each by its interval."""
    answers = {named(name): claims(run) for name, run in chosen.items()}

    def where(claim):
        return sum(found.get(claim, "").startswith("yes") for found in answers.values())

    averaged = [run for run in chosen.values() if "averaged" in run["metrics"]]
    better = sum(apart(run, "rmse", "averaged", "direct") == "yes" for run in averaged)
    mean = "Algorithm 2 on the running mean of the guesses"
    told = f" {mean} has a lower RMSE than one call on {better} of {len(averaged)}."
    yield (
        "- **Does iterating pay?** By RMSE one call beats the sampled images on "
        f"{where('direct has the smaller RMSE, against the sampled')} of {len(chosen)} tasks; by the distance of a "
        f"small classifier the sampled are nearer on {where('the sampled have the smaller Fréchet distance')}."
        + told
        * bool(averaged)
    )


def of_files(found, chosen, paper):
    """What is left of it when x_T is a file, and what the inverse does alone."""
    pairs, same = [], []
    for name, run in chosen.items():
        if "eight_bits" in run:
            theirs = paper[what(name).preset]["direct"]["rmse"]
            after = run["eight_bits"]["told"]["direct"]["rmse"]
            beside = f"the paper: {theirs[0]:.3f}" + "†" * (theirs[1] == "R")
            before = run["metrics"]["direct"]["rmse"]
            if f"{before:.3f}" == f"{after:.3f}":
                same.append(named(name))
            else:
                pairs.append(f"{named(name)} {before:.3f} to {after:.3f} ({beside})")
    if pairs:
        head = "**In float32 only.** Blurred and pixelated images hold more than a file can."
        head += " From 8 bits the RMSE of one call rises"
        but = f" That of {listed(same)} does not." if same else ""
        yield f"- {head}: {'; '.join(pairs)}.{but}"
    alone = found.get("inverse", {}).get("experiments", {}).get("cifar10-blur")
    if alone and "cifar10-blur" in chosen:
        theirs = " / ".join(paper_cell(paper["cifar10-blur"]["direct"][m], ".3f") for m in ("rmse", "ssim"))
        yield (
            "- **A blur that loses little is no feat.** The regularised inverse of CIFAR-10's, no network at all, "
            f"reaches {of(alone, 'float32', RMSE, SSIM)} where the paper's network has {theirs}."
        )


def digits(found):
    """The best new digits, beside real ones and hot diffusion."""
    rows = {row["attempt"]: row for row in found.get("generation-mnist", {}).get("attempts", [])}
    real = found.get("generation-mnist", {}).get("real", {}).get("training images")
    best, one, hot = rows.get(studies.BEST), rows.get(studies.ONE), rows.get("hot, 50 calls")
    if None not in (real, best, one, hot):
        yield (
            f"- **New digits.** {best['recognised']:.0%} of the best are recognised, with a single call "
            f"{one['recognised']:.0%}, of real ones {real['recognised']:.0%}. Their recall is {best['recall']:.2f} "
            f"where real training digits have {real['recall']:.2f} and hot diffusion "
            f"{hot['recall']:.2f} (recognised: {hot['recognised']:.0%})."
        )


def opening(found, runs, paper):
    """Whose networks these are, and what they cost."""
    chosen = list(tasks(runs, paper).values())
    minutes = sorted(round(run["seconds"] / 60) for run in chosen)
    where = " or ".join(sorted({cores(run["machine"]) for run in chosen}))
    cost = f", each trained for {minutes[0]} to {minutes[-1]} minutes on {where}," if chosen else ""
    yield (
        f"What networks of about a million weights{cost} restore of the paper's own test images {{cite}}`bansal2023`: "
        "all of them, at its own settings. In short:"
    )
    yield ""


def in_short(found, runs, paper):
    chosen = {n: r for n, r in tasks(runs, paper).items() if "direct" in r["metrics"]}
    if not chosen:
        return
    yield from beside_the_paper(chosen, paper)
    yield from orders(chosen)
    yield from of_files(found, chosen, paper)
    yield from digits(found)
    seeds = {labelled(name, run) for name, run in runs.items() if run["config"]["seed"]}
    trained = "Each network was trained once" if not seeds else "Most networks were trained once"
    yield (
        f"- **What cannot be concluded.** {trained}, so a difference may be a seed's. How the networks for CIFAR-10's "
        "and the faces' holes went on was decided upon some of these test images (`results/README.md`). The distances "
        "are a small classifier's, no FID. Most of our networks see an inverse of $D$ beside $x_t$, the paper's do "
        "not. Its values marked † could not be checked."
    )
