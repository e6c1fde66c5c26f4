"""The one exception of coldlab: a mistake that the caller can mend, told in one sentence.

Everything else that is raised is a bug of ours. The command line prints a ColdlabError without a traceback.
"""

import difflib


class ColdlabError(ValueError):
    """What was given, what is allowed, and what to do about it."""


def unknown(kind, name, known):
    """The error for a name that is not in `known`, with the nearest known name suggested."""
    known = sorted(map(str, known))
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return ColdlabError(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}.")
