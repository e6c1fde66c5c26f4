"""What the pages of results are made of: names of runs, cells of tables, figures."""

from coldlab.lab import experiments
from coldlab.lab.reproduce import cores

NARROW = "\N{NO-BREAK SPACE}"  # what belongs together does not wrap in a table
CHART = 4.3  # inches across: what a phone of 380 pixels shows whole


def what(name):
    """The Experiment of a run."""
    return experiments.experiment(name)


def siblings(name):
    """The experiments with the preset of this one, itself among them: runs of one task, of different lengths."""
    return [n for n, other in experiments.EXPERIMENTS.items() if other.preset == what(name).preset]


def parts(name):
    """The experiments that a run went on from, the last first: they are parts of it, not other runs."""
    first = what(name).recipe.get("pretrained")
    return [first, *parts(first)] if first else []


def labelled(name, run):
    """The title with what tells runs of one task apart."""
    if len(set(siblings(name)) - set(parts(name))) == 1:
        return what(name).title
    seed = f", seed {run['config']['seed']}" if run["config"]["seed"] else ""
    return f"{what(name).title}, {run['config']['steps']:,} steps{seed}"


def sampled(run):
    """Our row for what the paper calls "sampled": Algorithm 2's end for blur, otherwise its last prediction."""
    return "Algorithm 2" if run["config"]["degradation"] == "blur" else "last prediction"


RMSE, SSIM = ("rmse", ".3f"), ("ssim", ".3f")


def of(run, row, *forms):
    """The measures of a row as "0.042 / 0.883": (measure, form) each; empty where the run has no such row."""
    values = run.get("metrics", run).get(row)
    slash = f"{NARROW}/{NARROW}"
    return slash.join(f"{values[m]:{form}}" for m, form in forms if m in values) if values else ""


def distance_of(run):
    """What the Fréchet distance of a run is called, after its classifier; None where there is none."""
    return next((key for key in run["metrics"]["direct"] if key.startswith("Fréchet")), None)


def paper_cell(cell, form):
    value, status = cell
    return f"{value:{form}}" if status != "R" else f"({value:{form}})†"


def within(value, interval, form):
    """value ± the longer side of its interval, with a digit more where the side would be 0."""
    side = max(value - interval[0], interval[1] - value)
    if float(f"{side:{form}}") == 0 < side and form.endswith("f"):
        form = f".{int(form[1:-1]) + 1}f"
    return f"{value:{form}}{NARROW}±{NARROW}{side:{form}}"


def spanned(value, interval, form):
    """value ± the longer side of its interval; of shares the % stands once."""
    if not form.endswith("%"):
        return within(value, interval, form)
    return within(100 * value, [100 * end for end in interval], form.replace("%", "f")) + f"{NARROW}%"


def signed(difference):
    return f"{difference:+.3f}".replace("-", "\N{MINUS SIGN}")


def made(run):
    """How a run came about, in one sentence."""
    config, machine = run["config"], run["machine"]
    names = [f"`{name}`" for name in reversed(parts(run["name"]))]
    before = f" after those of {listed(names)}" if names else ""
    return (
        f"{config['steps']:,} steps of {config['batch']} images{before}, {run['images_seen']:,} images seen, "
        f"{run['parameters'] / 1e6:.1f} million weights, {run['seconds'] / 60:.0f} minutes on {cores(machine)}, "
        f"seed {config['seed']}, torch {machine['torch'].split('+')[0]}, {commits(run)}"
    )


def listed(words):
    """a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def commits(run):
    """The commits that a run and its parts were trained at, the first part's first."""
    every = []
    while run:
        every, run = [run["machine"]["commit"][:10], *every], run.get("began_with")
    every = [f"`{commit}`" for commit in dict.fromkeys(every)]
    return f"commit{'s' * (len(every) > 1)} {listed(every)}"


def drawn(name, alt):
    """Rows of images that a run or a study drew."""
    yield from (f"```{{rows}} ../results/{name}.webp", f":alt: {alt}", "```")


def chart(name, alt):
    """A figure of CHART inches: on a phone it shrinks a little, and its letters stay above 11 pixels."""
    settings = (f":alt: {alt}", f":width: {100 * CHART:.0f}px", ":class: dark-light fits")
    yield from (f"```{{image}} ../results/{name}.png", *settings, "```")
