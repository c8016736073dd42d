"""Provide the command line: one command a file, found by the registry (kind "cli"), imported on first use.

A command's file defines `entry`, a function whose annotated parameters are typer's and whose docstring is the
help text; its return value is the exit code (None is 0). Other packages add commands by the entry point group
`flowgrad.cli`. Exit codes: 0 success; 2 a wrong request or wrong data, one line on stderr; 130 Ctrl-C.
"""

from flowgrad.cli._main import main

__all__ = ["main"]
