"""`flowgrad doctor`: report what is installed, what works, and what more can be installed."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import flowgrad as fg
from flowgrad.cli._console import say, table
from flowgrad.cli._examined import examined
from flowgrad.cli._opened import opened
from flowgrad.errors import ConfigError

FEATURES = ("sse4_2", "avx", "avx2", "fma", "avx512f", "asimd", "sve")


def entry(
    network: Annotated[Path | None, typer.Argument(hidden=True, help="Older use: flowgrad health NETWORK.")] = None,
    data: Annotated[Path | None, typer.Option(hidden=True, help="Older use: flowgrad health --data.")] = None,
    loss: Annotated[str | None, typer.Option(hidden=True, help="Older use: flowgrad health --loss.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(hidden=True, help="Older use: flowgrad health --ignore.")] = None,
) -> int:
    """Report what is installed and whether it works: versions, executors, processor, optional libraries.

    Every executor computes one gradient, whose value is known. The exit code is 1 if none can. flowgrad health
    examines a network.
    """
    if network is not None:
        if data is None:
            raise ConfigError("a network is examined on --data, samples with their targets: flowgrad health NETWORK")
        say("flowgrad health is the newer name of this")
        return examined(opened(network, data, "needed", loss=loss, ignore=ignore))
    for option, value in (("--data", data), ("--loss", loss), ("--ignore", ignore)):
        if value:
            raise ConfigError(f"{option} goes with a network: flowgrad health NETWORK")
    say(f"flowgrad {fg.__version__}, Python {platform.python_version()}, {platform.platform()}")
    say(f"processor: {_processor()}")
    say(f"threads: {_threads()} of {os.cpu_count()} may be used")
    works = {name: _works(name, answer) for name, answer in fg.executors().items()}
    table(("executor", "works"), list(works.items()))
    table(("library", "installed", "for"), list(_libraries()))
    if not any(answer == "yes" for answer in works.values()):
        say("no executor works", "red")
        return 1
    say(
        "all is well" if all(answer == "yes" for answer in works.values()) else "flowgrad works, without some executors"
    )
    return 0


def _works(name: str, answer: object) -> str:
    """Return "yes" if the executor computes d(½ tanh(w·x)²)/dw correctly, else the reason why not."""
    if answer is not True:
        return f"no: {answer}"
    try:
        network = fg.Network.from_arrays([0], [1], weight=[0.5], activation="tanh")
        program = fg.compile(network, executor=name, loss="squared_error")
        grads = program.backward(program.forward([[2.0]]), [[0.0]])
    except Exception as error:  # a broken installation may raise anything, which this command reports
        return f"NO: {type(error).__name__}: {error}"
    wanted = np.tanh(1.0) * (1 - np.tanh(1.0) ** 2) * 2
    found = float(grads.weight[0, 1])
    return "yes" if abs(found - wanted) < 1e-12 else f"NO: a gradient is {found!r} and should be {wanted!r}"


def _processor() -> str:
    """Return the processor's name and, where Linux lists them, its vector instructions."""
    name, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        text = info.read_text(encoding="utf-8", errors="replace")
        named = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
        listed = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
        name = named[1] if named else name
        flags = ", ".join(feature for feature in FEATURES if listed and feature in listed[1].split())
    return f"{name} ({flags})" if flags else name


def _threads() -> int:
    """Count the hardware threads that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _libraries() -> Iterator[tuple[str, str, str]]:
    """List the libraries in flowgrad's metadata: name, version or "no", and the purpose or how to install it."""
    needed: dict[str, str] = {}
    for requirement in metadata.requires("flowgrad") or ():
        library = re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
        if library != "flowgrad" and not (extra and extra[1] in ("test", "dev")):
            other = needed.get(library, "demo")  # the demo's extra only repeats what others name
            needed[library] = extra[1] if extra and other == "demo" else other if extra else ""
    for library, name in needed.items():
        try:
            yield library, metadata.version(library), f"the extra {name}" if name else "flowgrad itself"
        except metadata.PackageNotFoundError:
            wanted = f"flowgrad[{name}]" if name else library
            yield library, "no", f"pip install '{wanted}'"
