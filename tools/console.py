"""What every tool does first: a console that lacks a sign of what is printed shows another in its place."""

import sys


def degrade() -> None:
    """Let no name or traceback end a tool after its work only because the machine's code page lacks a letter."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's streams take anything and have none
            stream.reconfigure(errors="backslashreplace")
