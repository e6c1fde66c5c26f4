"""How each network was trained where that differs from the paper, as a table: from the configurations of the runs."""

from cells import labelled

from coldlab.lab import experiments
from coldlab.training import Config


def severities(config):
    """How t is drawn; of a run that goes on from another's network, first how it was there."""
    bias = config.timestep_bias
    told = "uniform" if bias == 1 else f"{'late' if bias > 1 else 'early'} ones favoured ({bias:g})"
    if config.pretrained:
        return f"{severities(experiments.experiment(config.pretrained).config())}, then {told}"
    return told


def own_states(config):
    """How many of the images are states that R made itself, and from where they come down."""
    if not config.rollout:
        return "none"
    share = "all" if config.rollout == 1 else f"{config.rollout:.0%}"
    calls = f" in {config.rollout_calls} calls" if config.rollout_calls > 1 else ""
    return f"{share}, from {'$T$' if config.rollout_from_T else 'a random later $t$'}{calls}"


def moved(config):
    """How images are changed before anything happens to them."""
    told = ["mirrored"] * config.flip
    if config.shift or config.scale or config.slant:
        share = "" if config.augmented == 1 else f"{config.augmented:.0%} "
        told.append(f"{share}moved, enlarged, slanted")
    return ", ".join(told) or "as they are"


def recipes(found, runs, paper):
    yield "| | sees the inverse of $D$ | predicts | severities | own states | images |"
    yield "|---|---|---|---|---|---|"
    for name, run in runs.items():
        config = Config(**{key: value for key, value in run["config"].items() if key in Config.__dataclass_fields__})
        cells = [
            "yes" if config.precondition else "no",
            "what to add" if config.residual else "the image",
            severities(config),
            own_states(config),
            moved(config),
        ]
        yield "| " + " | ".join([labelled(name, run), *cells]) + " |"
