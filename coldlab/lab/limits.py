"""What the numbers of every command may be: one table, looked at before a command does anything.

The idea that holds this file together: a number that cannot be meant costs one sentence, not a traceback an hour later.
Whether a number is whole says its type; what a single network knows besides (1..T) the command itself says.
"""

import dataclasses
import functools
import inspect
import itertools
import math
import typing
from dataclasses import dataclass

from ..errors import ColdlabError

MANY = 10**9  # steps, images: beyond what anybody can mean
LARGE = 10**4  # T, kernel: beyond what fits into a memory


@dataclass(frozen=True)
class Range:
    """low <= value <= high; with `above` low itself is left out."""

    low: float
    high: float
    above: bool = False

    def sentence(self, value):
        """What is wrong with a value, or None."""
        if isinstance(value, float) and not math.isfinite(value):
            return f"it must be a number {self.told()}"
        if value < self.low or (self.above and value == self.low):
            return f"it must be {f'above {self.low}' if self.above else f'{self.low} or more'}"
        return f"it must be at most {self.high}" if value > self.high else None

    def told(self):
        return f"{f'above {self.low} and' if self.above else f'from {self.low}'} up to {self.high}"


POSITIVE, COUNT, SHARE = Range(1, MANY), Range(0, MANY), Range(0, 1)
SEED = Range(0, 2**32 - 1)  # what NumPy takes, and so scikit-learn
RANGES = {
    "attention": Range(0, 20),
    "batch": Range(1, 10**6),
    "channels": Range(1, 3),
    "classes": Range(0, 10**4),
    "components": Range(1, 10**4),
    "count": Range(1, 10**6),
    "ema": SHARE,
    "guidance": Range(0, 100),
    "held_out": COUNT,
    "keep": POSITIVE,
    "label": COUNT,
    "limit": POSITIVE,
    "log_every": POSITIVE,
    "lr": Range(0, 10, above=True),
    "mults": Range(1, 64),
    "patch": Range(1, 256),
    "refine": Range(0, 4096),
    "resamples": Range(0, 10**6),
    "rollout": SHARE,
    "rollout_calls": Range(1, 1000),
    "rounded": SHARE,
    "unlabelled": SHARE,
    "augmented": SHARE,
    "rounds": Range(1, 10**6),
    "sample_every": POSITIVE,
    "save_every": POSITIVE,
    "scale": Range(0, 0.9),
    "seed": SEED,
    "severity": Range(1, 10**6),
    "shift": Range(0, 4096),
    "sigma": Range(0, 10),
    "size": Range(1, 4096),
    "slant": Range(0, 2),
    "steps": POSITIVE,
    "temperature": Range(0, 10),
    "threads": Range(1, 1024),
    "timestep_bias": Range(0, 100, above=True),
    "warmup": COUNT,
    "weight": Range(0, 1, above=True),
    "width": Range(1, 4096),
    "zoom": Range(1, 10),
}


def check(name, value):
    """Raise ColdlabError where an argument of a command, an entry or a field of it is a number out of its range.

    Settings of a degradation may have any name: they must be finite and not too large, and D says the rest.
    """
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            check(field.name, getattr(value, field.name))
    elif isinstance(value, dict):
        for key, number in value.items():
            if numeric(number) and not abs(number) <= LARGE:
                raise ColdlabError(f"option {key}={number}; it must be a number from -{LARGE} up to {LARGE}.")
    else:
        for number in value if isinstance(value, tuple) else (value,):
            wrong = RANGES[name].sentence(number) if numeric(number) else None
            if wrong:
                raise ColdlabError(f"--{name.replace('_', '-')} {number}; {wrong}.")


def kind(annotation):
    """int or float where an argument is such a number, or several, or None; else None."""
    if typing.get_origin(annotation) is typing.Annotated:
        return kind(typing.get_args(annotation)[0])
    if annotation in (int, float):
        return annotation
    found = {kind(part) for part in typing.get_args(annotation) if part is not Ellipsis} - {None}
    return found.pop() if len(found) == 1 else None


def several(annotation):
    """Whether an option takes more than one word."""
    return typing.get_origin(annotation) is tuple or any(map(several, typing.get_args(annotation)))


def arguments(command):
    """{option: annotation} of everything that a command takes, in its dataclasses, too."""
    found, hints = {}, typing.get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if dataclasses.is_dataclass(parameter.default):
            found |= typing.get_type_hints(type(parameter.default), include_extras=True)
        else:
            found[name] = hints.get(name)
    return found


def numbers(command):
    """{option: int or float} of every number that a command takes."""
    return {name: number for name, annotation in arguments(command).items() if (number := kind(annotation))}


def spelled(command, words):
    """Raise ColdlabError where a word after an option is no number of the option's type, in the words of `check`."""
    known, takes = numbers(command), arguments(command)
    for place, word in enumerate(words):
        flag, equals, text = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or name not in known:
            continue
        following = itertools.takewhile(lambda word: not word.startswith("--"), words[place + 1 :])
        given = [text] if equals else list(following)
        for text in given if several(takes[name]) else given[:1]:
            try:
                if text != "None":
                    known[name](text)
            except ValueError:
                whole = "whole " if known[name] is int else ""
                wrong = f"{flag} {text or repr(text)}; it must be a {whole}number {RANGES[name].told()}."
                raise ColdlabError(wrong) from None


def numeric(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked(command):
    """The command, that looks at its numbers before anything else."""

    @functools.wraps(command)
    def first(*given, **named):
        for name, value in inspect.signature(command).bind(*given, **named).arguments.items():
            check(name, value)
        return command(*given, **named)

    return first
