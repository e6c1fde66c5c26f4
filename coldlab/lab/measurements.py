"""Results that are neither a network's nor a study of generation: by name, what they need and what they make.

The idea that holds this file together: a measurement is a function that writes a manifest. A new one is one entry.
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import beyond, blur_or_noise, experiments, inverse, recipe, transforms


@dataclass(frozen=True)
class Measurement:
    """told: what `reproduce --list` says of it. measure: (runs, path, command, device) -> path, writes the manifest.

    networks: () -> the experiments that are trained for it; runs is then {experiment: folder of its run}. None: it
    trains its own, and runs is the folder to keep them in. lines: what `reproduce` prints of the manifest.
    """

    told: str
    measure: Callable
    lines: Callable
    networks: Callable | None = tuple


MEASUREMENTS = {
    "inverse": Measurement("D's regularised inverse of x_T, without a network", inverse.measure, inverse.lines),
    "transforms": Measurement(
        transforms.listing(), transforms.measure, transforms.lines, lambda: list(experiments.TRANSFORMS)
    ),
    "blur-or-noise": Measurement(
        f"{len(blur_or_noise.arms())} degradations, matched by what they leave",
        blur_or_noise.measure,
        blur_or_noise.lines,
        None,
    ),
    "recipe": Measurement(
        "how the default recipe was found", recipe.measure, recipe.lines, lambda: list(experiments.RECIPES)
    ),
    "walks": Measurement("samplers by the number of their calls, with networks that ship", beyond.walks, beyond.lines),
    "classes": Measurement("digits of a class that is asked for", beyond.classes, beyond.lines),
}
