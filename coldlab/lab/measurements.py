"""Results that are neither a network's nor a study of generation: by name, what they need and what they make.

The idea that holds this file together: a measurement is a function that writes a manifest. A new one is one entry.
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import beyond, experiments, inverse, transforms


@dataclass(frozen=True)
class Measurement:
    """told: what `reproduce --list` says of it. measure: (runs, path, command, device) -> path, writes the manifest.

    networks: () -> the experiments that are trained for it; runs is then {experiment: folder of its run}. lines: what
    `reproduce` prints of the manifest.
    """

    told: str
    measure: Callable
    lines: Callable
    networks: Callable = tuple


MEASUREMENTS = {
    "inverse": Measurement("D's regularised inverse of x_T, without a network", inverse.measure, inverse.lines),
    "transforms": Measurement(
        transforms.listing(), transforms.measure, transforms.lines, lambda: list(experiments.TRANSFORMS)
    ),
    "walks": Measurement("samplers by the number of their calls, with networks that ship", beyond.walks, beyond.lines),
    "classes": Measurement(
        "digits of a class that is asked for", beyond.classes, beyond.lines, lambda: [beyond.TELLER]
    ),
}
