"""The command line: one command a file, found by the registry (kind "cli"), imported when it is asked for.

A command's file defines `entry`, a function whose annotated parameters are typer's and whose docstring is the
help text; what it returns is the exit code (None is 0). Packages of other people add commands by the entry
point group `flowgrad.cli`. Exit codes: 0 done; 2 what was asked for is wrong, one line on stderr; 130 Ctrl-C.
"""

from flowgrad.cli._main import main

__all__ = ["main"]
