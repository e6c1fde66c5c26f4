"""Write book/results.md and book/models.md from the manifests in results/, and from nothing else.

    python tools/results_page.py

Every number on the two pages comes from a manifest; what the paper reports from results/paper.json. A test writes
them again and compares, so that a page cannot be older than its runs.
"""

import json
from pathlib import Path

from coldlab import experiments, reproduce

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
SETS = {"mnist": "MNIST", "cifar10": "CIFAR-10", "celeba": "CelebA", "digits": "Digits"}
TASKS = {"blur": "deblurring", "mask": "inpainting", "pixelate": "super-resolution"}
LICENCES = {
    "digits": "scikit-learn's copy of the UCI optical digits, CC BY 4.0",
    "mnist": "MNIST, CC BY-SA 3.0",
    "cifar10": "CIFAR-10; its authors ask to be cited and name no licence",
    "celeba": "CelebA, for non-commercial research only",
}
LENGTHS = ("mnist-blur-1000", "mnist-blur", "mnist-blur-own", "mnist-blur-100000")  # one task, in one table
BRIEF = ("mnist-blur-1000", "mnist-blur-own")  # these stand in that table only
PAGES = {"results": "book/results.md", "models": "book/models.md"}


def plain(name):
    """The name without the length of the run: mnist-blur-1000 is mnist-blur too."""
    return "mnist-blur" if name in LENGTHS else name


def titled(name):
    dataset, *size, task = plain(name).split("-")
    size = f" at {size[0]} pixels" if size else ""
    return f"{SETS[dataset]}{size}, {TASKS[task]}"


def labelled(name, run):
    """The title with what tells runs of one task apart."""
    return f"{titled(name)}, {run['config']['steps']:,} steps" + ", own states" * name.endswith("-own")


# ----------------------------------------------------------------------------------------------------------- numbers


def sampled(run):
    """Our row for what the paper calls "sampled": Algorithm 2's end for blur, otherwise its last prediction."""
    return "Algorithm 2" if run["config"]["degradation"] == "blur" else "last prediction"


def paper_cell(cell, form):
    value, status = cell
    return f"{value:{form}}" if status != "R" else f"({value:{form}})†"


def within(value, interval, form):
    """value ± the longer side of its interval."""
    side = max(value - interval[0], interval[1] - value)
    return f"{value:{form}}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{side:{form}}"


def signed(difference):
    return f"{difference:+.3f}".replace("-", "\N{MINUS SIGN}")


def table(run, paper):
    """The rows of one run: value and interval of each measure, the paper's beside, and the difference."""
    distance = next((key for key in run["metrics"]["direct"] if key.startswith("Fréchet")), None)
    lines = [
        "| images | RMSE | paper | SSIM | paper | " + (distance or "Fréchet distance") + " | FID, paper |",
        "|---|---|---|---|---|---|---|",
    ]
    theirs = {"degraded": "degraded", "direct": "direct", sampled(run): "sampled"}
    for row, values in run["metrics"].items():
        cells, spans = [row], run["intervals"][row]
        beside = paper.get(theirs.get(row), {})
        for measure in ("rmse", "ssim"):
            cells.append(within(values[measure], spans[measure], ".3f"))
            there = beside.get(measure)
            difference = f" ({signed(values[measure] - there[0])})" if there and there[1] != "R" else ""
            cells.append(paper_cell(there, ".3f") + difference if there else "")
        cells.append(within(values[distance], spans[distance], ".2f") if distance else "no classifier")
        cells.append(paper_cell(beside["fid"], ".2f") if "fid" in beside else "")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def made(run):
    """How a run came about, in one sentence."""
    config, machine = run["config"], run["machine"]
    cores = f"{machine['threads']} thread{'s' * (machine['threads'] > 1)} of {machine['device']}"
    return (
        f"{config['steps']:,} steps of {config['batch']} images, {run['images_seen']:,} images seen, "
        f"{run['parameters'] / 1e6:.1f} million weights, {run['seconds'] / 60:.0f} minutes on {cores}, "
        f"seed {config['seed']}, torch {machine['torch'].split('+')[0]}, commit `{machine['commit'][:10]}`"
    )


# ------------------------------------------------------------------------------------------------------------ claims


def apart(run, measure, low, high):
    """Is `low` below `high` in this measure? "yes", "no", or "undecided" where the 95 % intervals overlap."""
    one, two = run["intervals"][low][measure], run["intervals"][high][measure]
    return "yes" if one[1] < two[0] else "no" if two[1] < one[0] else "undecided"


def claims(run):
    """(claim, answer) for the order that the paper reports."""
    distance = next((key for key in run["intervals"]["direct"] if key.startswith("Fréchet")), None)
    found = {}
    if run["config"]["degradation"] == "blur":
        found["Algorithm 1 has the larger RMSE, against Algorithm 2"] = apart(run, "rmse", "Algorithm 2", "Algorithm 1")
    found["direct has the smaller RMSE, against the sampled"] = apart(run, "rmse", "direct", sampled(run))
    found["direct has the larger SSIM"] = apart(run, "ssim", sampled(run), "direct")
    if distance:
        found["the sampled have the smaller Fréchet distance"] = apart(run, distance, sampled(run), "direct")
    return found


# ------------------------------------------------------------------------------------------------------- the results


def overview(found, runs, paper):
    runs = {name: run for name, run in runs.items() if name not in BRIEF}
    yield from ("## In one table", "")
    yield "| ours / the paper's | images seen | direct: RMSE | SSIM | sampled: RMSE | SSIM |"
    yield "|---|---:|---|---|---|---|"
    for name, run in runs.items():
        cells = [labelled(name, run), f"{run['images_seen']:,}"]
        beside = paper.get(plain(name), {})
        for row, theirs in (("direct", "direct"), (sampled(run), "sampled")):
            for measure in ("rmse", "ssim"):
                there = f" / {paper_cell(beside[theirs][measure], '.3f')}" if beside else ""
                cells.append(f"{run['metrics'][row][measure]:.3f}{there}")
        yield "| " + " | ".join(cells) + " |"
    spent = "The paper's networks saw 44.8 million images (700,000 steps of 64)"
    yield from ("", f"{spent}, for inpainting 3.84 million by the paper's text.")


def each_run(found, runs, paper):
    for name, run in runs.items():
        if name in BRIEF:
            continue
        title = labelled(name, run) if name in LENGTHS else titled(name)
        yield from ("", f"## {title}", "", f"`{run['command']}`", "")
        yield f"{made(run)}. {run['test_images']:,} test images."
        if run["x_T_rounded_to_8_bits"]:
            yield "Each $x_T$ was rounded to 8 bits first, as in the paper's code."
        yield from ("", *table(run, paper.get(plain(name), {})), "")
        yield from figure(name, f"{titled(name)}: rows of test images, {', '.join(reproduce.SHOWN)}.")


def figure(name, alt, width="100%"):
    yield from (f"```{{image}} ../results/{name}.png", f":alt: {alt}", f":width: {width}", ":class: dark-light", "```")


def progress(found, runs, paper):
    names = [name for name in LENGTHS if name in runs]
    yield from ("## What training longer buys", "")
    ways = ("direct", "Algorithm 2", "Algorithm 1")
    yield f"| | images seen | minutes | {' | '.join(f'{way}: RMSE / SSIM' for way in ways)} | command |"
    yield "|---|---:|---:|---|---|---|---|"
    for name in names:
        run = runs[name]
        pairs = ["{rmse:.3f} / {ssim:.3f}".format(**run["metrics"][way]) for way in ways]
        cells = [labelled(name, run), f"{run['images_seen']:,}", f"{run['seconds'] / 60:.0f}", *pairs]
        yield "| " + " | ".join([*cells, f"`reproduce {name}`"]) + " |"
    yield from (
        "",
        "Algorithm 2 takes twenty calls of R above. With fewer, evenly spread, RMSE / SSIM / Fréchet distance:",
        "",
    )
    calls = list(runs[names[0]]["calls"])
    yield "| | direct | " + " | ".join(f"{n} calls" for n in calls) + " | 20 calls |"
    yield "|---|" + "---|" * (len(calls) + 2)
    for name in names:
        measured = runs[name]["metrics"]
        ways = [measured["direct"], *(runs[name]["calls"][n] for n in calls), measured["Algorithm 2"]]
        triples = [f"{v['rmse']:.3f} / {v['ssim']:.3f} / {v['Fréchet (mnist-classifier)']:.2f}" for v in ways]
        yield "| " + " | ".join([labelled(name, runs[name]), *triples]) + " |"
    if "mnist-blur-100000" in runs:
        steps = ", ".join(f"{step:,}" for step in experiments.EXPERIMENTS["mnist-blur-100000"].keep)
        yield ""
        yield from figure(
            "mnist-blur-100000-progress",
            f"The same digits restored by Algorithm 2 with the weights of steps {steps} and the last.",
        )
        yield from ("", "Eight test digits by Algorithm 2, with the weights that one run had after so many steps.")


def by_class(found, runs, paper):
    shown = [name for name in ("mnist-blur-1000", "mnist-blur", "mnist-blur-100000") if name in runs]
    yield from ("## Which digits come back", "")
    yield "The share of restored test images that the shipped classifier reads as the digit they were, in percent."
    yield from ("", "| | all | " + " | ".join(str(k) for k in range(10)) + " |", "|---|" + "---:|" * 11)
    for name in shown:
        for row in ("original", "direct", "Algorithm 2", "Algorithm 1"):
            if row == "original" and name != shown[0]:
                continue
            seen = runs[name]["read_as_their_class"][row]
            label = row if row == "original" else f"{row}, {runs[name]['config']['steps']:,} steps"
            yield "| " + " | ".join([label, *(f"{100 * v:.1f}" for v in (seen["share"], *seen["by_class"]))]) + " |"


def generation(found, runs, paper):
    run = found["generation-mnist"]
    attempts = {attempt["attempt"]: attempt for attempt in run["attempts"]}
    yield from ("## New digits", "")
    networks = run["networks"]
    yield f"`{run['command']}`, explained in [chapter 6](06_generation.ipynb). The networks saw "
    yield ", ".join(f"{net['images_seen']:,} images ({name})" for name, net in networks.items()) + "."
    yield from (
        "",
        "| attempt | images | recognised | class entropy | Fréchet (mnist-classifier) | precision | recall |",
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, a in attempts.items():
        numbers = [f"{a[key]:{form}}" for key, form in GENERATED.items()]
        yield "| " + " | ".join([name, f"{a['count']:,}", *numbers]) + " |"
    yield from ("", "Which digits the classifier reads in them, in percent:", "")
    yield from ("| attempt | " + " | ".join(str(k) for k in range(10)) + " |", "|---|" + "---:|" * 10)
    for name in COUNTED:
        histogram = attempts[name]["histogram"]
        yield "| " + " | ".join([name, *(f"{100 * v / sum(histogram):.1f}" for v in histogram)]) + " |"
    yield from ("", *figure("generation-mnist", "Rows of generated digits, one row per attempt, and real digits."))


COUNTED = (
    "the mean alone (the paper, perfect symmetry)",
    "the mean alone, network trained with it",
    "nine numbers, 20 Gaussians",
    "80 Gaussians, temperature 0.75, 3 calls",
    "hot, 200 calls",
)
GENERATED = {"recognised": ".1%", "entropy": ".3f", "frechet": ".2f", "precision": ".2f", "recall": ".2f"}


def order(found, runs, paper):
    runs = {name: run for name, run in runs.items() if name not in BRIEF}
    yield from ("## Does the paper's order hold?", "")
    yield "By the 95 % intervals above: *yes* or *no* where they do not overlap, otherwise *undecided*."
    yield from (
        "",
        "| | " + " | ".join(labelled(name, run) for name, run in runs.items()) + " |",
    )
    yield "|---|" + "---|" * len(runs)
    answers = {name: claims(run) for name, run in runs.items()}
    for claim in dict.fromkeys(claim for each in answers.values() for claim in each):
        yield f"| {claim} | " + " | ".join(answers[name].get(claim, "") for name in runs) + " |"


def missing(found, runs, paper):
    rest = [name for name in experiments.EXPERIMENTS if "intervals" not in found.get(name, {})]
    if rest:
        yield from ("## Not run yet", "")
        yield from (f"- {titled(name)}: `python -m coldlab reproduce {name}`" for name in rest)


# -------------------------------------------------------------------------------------------------------- the models


def models(found, runs, paper):
    for path in sorted((ROOT / "coldlab/weights").glob("*.safetensors"), key=lambda path: path.stem):
        run, name = found[path.stem], path.stem
        yield from ("", f"## {name}", "")
        dataset = name.split("-")[0]
        if name.endswith("-classifier"):
            yield f"Reads {SETS[dataset]}, for the Fréchet distances and shares of this book: `{run['command']}`."
            yield f"{run['parameters']:,} weights, {run['accuracy']:.2%} of {run['test_images']:,} test images right."
        else:
            config = run["config"]
            options = ", ".join(config["options"]) or "default options"
            side = config["size"]
            yield f"Undoes {config['degradation']} ({options}) on {SETS[dataset]}, {side} x {side} pixels."
            yield f"Made by `{run['command']}`" + (f": {made(run)}." if "intervals" in run else ".")
            rows = {row: "RMSE {rmse:.3f}, SSIM {ssim:.3f}".format(**values) for row, values in run["metrics"].items()}
            yield f"On {run['test_images']:,} test images: direct {rows['direct']}; Algorithm 2 {rows['Algorithm 2']}."
        yield f"{path.stat().st_size / 1e6:.1f} MB in half precision. Trained on {LICENCES[dataset]}."


PARTS = {part.__name__: part for part in (overview, progress, by_class, generation, order, missing, models)} | {
    "runs": each_run
}


def page(name):
    """The text of tools/pages/NAME.md with each line "@part" replaced by what the manifests say of it."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    runs = {name: found[name] for name in experiments.EXPERIMENTS if "intervals" in found.get(name, {})}
    runs.pop("digits-blur", None)
    lines = []
    for line in (ROOT / f"tools/pages/{name}.md").read_text().splitlines():
        part = PARTS.get(line[1:]) if line.startswith("@") else None
        lines += part(found, runs, found["paper"]["values"]) if part else [line]
    return "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    for name, path in PAGES.items():
        (ROOT / path).write_text(page(name))
        print(path)
