"""The degradations by name: the package's own, and those that a reader adds.

The idea that holds this file together: one decorator is all that a new class needs to be known to the tests, the
command line and the widgets.
"""

from ..errors import ColdlabError
from .base import Degradation

REGISTRY = {}  # name -> class


def register(name):
    """Class decorator: list a degradation under `name`, a name that the package does not use, without a plus.

    Run again, in a notebook, it lists the newer class; a name of the package's own raises ColdlabError.
    """
    if "+" in name or not name:
        raise ColdlabError(f"{name!r} is no name for a degradation: a plus joins two of them, such as blur+mask.")

    def add(cls):
        package = __name__.rpartition(".")[0]
        old = REGISTRY.get(name, cls)
        if old.__module__.startswith(package) and not cls.__module__.startswith(package):
            raise ColdlabError(f"{name!r} is the package's {old.__name__}; give yours another name.")
        if "__dataclass_fields__" not in vars(cls) or cls.__hash__ is None:
            raise ColdlabError(
                f"{cls.__name__} has to be a dataclass: write @dataclass(eq=False) right above the class."
            )
        if wrong := lacking(cls):
            raise ColdlabError(f"{cls.__name__} {wrong}.")
        REGISTRY[name] = cls
        return cls

    return add


def lacking(cls):
    """What a class has yet to say or write, in words; None where it has all that is needed."""
    if next(iter(cls.__dataclass_fields__), "size") not in ("size", "parts"):
        return "has to take the size of its images first: size: int | tuple[int, int]"
    if cls.degrade is Degradation.degrade:
        return "has to write degrade(self, x0, t, z)"
    if cls.needs_z and cls.draw is Degradation.draw:
        return "has needs_z, so it has to write draw(self, x0, generator=None)"
    if cls.blind and not hasattr(cls, "infer"):
        return "has blind, so it has to write infer(self, x, x0_hat, t)"
    return None
