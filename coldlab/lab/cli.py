"""What all commands share: how words become settings, how mistakes are told, and streams that hold any text.

The idea that holds this file together: whatever a user can mend is one sentence on stderr and exit code 2, in every
console of the world.
"""

import ast
import os
import sys
import typing
import warnings

import torch
import tyro

from ..errors import ColdlabError


class Stopped(ColdlabError):
    """The run was asked to stop and did, with everything saved."""

    def __init__(self, signum, message):
        super().__init__(message)
        self.signum = signum


def key_values(info):
    """How tyro reads the options of a degradation: KEY=VALUE KEY=VALUE ..."""
    if typing.get_origin(info.type) is not dict:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[KEY=VALUE [KEY=VALUE ...]]",
        instance_from_str=parsed,
        is_instance=lambda values: isinstance(values, dict),
        str_from_instance=lambda values: [f"{key}={value}" for key, value in values.items()],
    )


def parse(settings):
    """("T=40", "std=5.0") -> {"T": 40, "std": 5.0}; anything that is no number, True or False stays text."""
    values = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ColdlabError(f"option {setting!r}; write KEY=VALUE, such as T=40.")
        try:
            values[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[key] = value
    return values


def parsed(words):
    try:
        values = parse(words)
        for key in {"name", "size"} & set(values):
            raise ColdlabError(f"option {key}={values[key]}; a degradation has none. The side of the images is --size.")
        return values
    except ColdlabError as error:  # a ValueError, of which tyro would make a page of its own
        raise Mistake(str(error)) from None


class Mistake(Exception):
    """A ColdlabError on its way through tyro."""


KEY_VALUES = tyro.constructors.ConstructorRegistry()
KEY_VALUES.primitive_rule(key_values)


def named(words):
    """The settings that the words of a command line name: {"steps", "precondition"} of --steps=9 --no-precondition."""
    flags = (word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--"))
    return frozenset(flag.removeprefix("no_") for flag in flags)


def at_home(words):
    """The words of a command line with ~ for a home where the shell has left it: as in --out=~/runs, or in quotes."""
    split = (word.partition("=") if word.startswith("--") else ("", "", word) for word in words)
    return [flag + sign + os.path.expanduser(value) if value else flag + sign for flag, sign, value in split]


def answered(call):
    """The exit code of a command: what a user can mend is told in one sentence on stderr, warnings likewise."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest: tell(f"warning: {message}")
            degrading(sys.stdout, "replace")
            degrading(sys.stderr, "backslashreplace")
            call()
    except Stopped as stopped:
        tell(stopped)
        return 128 + stopped.signum
    except (ColdlabError, Mistake) as error:
        tell(error)
        return 2
    except OSError as error:  # a name too long, a disk that is gone: whatever no command has foreseen
        tell(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        return 2
    except (MemoryError, RuntimeError) as error:
        if "home directory" in str(error):
            tell("~ stands for the home of a user who is not known here; write the path out.")
            return 2
        if not out_of_memory(error):
            raise
        tell("there is not enough memory; use smaller images, a smaller network or batch.")
        return 2
    return 0


def tell(message):
    """One line on stderr, whatever the names or values hold that it repeats."""
    print("coldlab:", "\\n".join(str(message).splitlines()), file=sys.stderr)


def degrading(stream, errors):
    """Let a stream show a sign in the place of what its encoding does not have, where it would raise."""
    if hasattr(stream, "reconfigure"):  # notebooks and tests put other things there, which take any text
        stream.reconfigure(errors=errors)


def out_of_memory(error):
    """Whether an error says that memory ran out: on a GPU, or in torch's allocator of the host."""
    words = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in words
