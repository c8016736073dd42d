"""Check that a worker's package versions are compatible with those of this process, before anything is sent to it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flowgrad.errors import FlowgradError
from flowgrad_dask.cluster import ClusterError, Lost

if TYPE_CHECKING:
    from distributed import Client

PACKAGES = {"flowgrad": "flowgrad", "flowgrad-dask": "flowgrad_dask", "numpy": "numpy"}  # distribution → module
DIGITS = {"flowgrad": 2, "flowgrad-dask": 2, "numpy": 1}  # leading components of a version that must be equal


class VersionWarning(FlowgradError, UserWarning):
    """Warn that a worker has another version of a package: it can read messages, but the bits of results may differ."""


async def compare(client: Client, address: str) -> None:
    """Compare a worker's package versions with those of this process. Runs on the client's event loop.

    Raises:
        ClusterError: the worker lacks a package, or has one whose messages this process cannot read.
        Lost: the worker is gone.

    Warns:
        VersionWarning: the worker has another version, whose messages are still read.
    """
    found = await client.run(teller(), workers=[address], on_error="return")
    there = found.get(address)
    if not isinstance(there, dict):
        raise Lost(f"the worker at {address} is gone: {there}")
    other = difference(address, there, teller()())
    if other is not None:
        warnings.warn(other, VersionWarning, stacklevel=2)


def teller() -> Callable[[], dict[str, str | None]]:
    """Make a function that returns the package versions of the process that runs it, None for a package not importable.

    The function is pickled by value, since a worker may lack this very package.

    >>> sorted(teller()())
    ['flowgrad', 'flowgrad-dask', 'numpy']
    """
    packages = PACKAGES

    def tell() -> dict[str, str | None]:
        from importlib import import_module, metadata

        found: dict[str, str | None] = {}
        for name, module in packages.items():
            try:
                imported = import_module(module)
            except ImportError:
                found[name] = None
                continue
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:  # imported from a folder of sources
                found[name] = str(getattr(imported, "__version__", "of unknown version"))
        return found

    return tell


def difference(address: str, there: Mapping[str, str | None], here: Mapping[str, str | None]) -> str | None:
    """Describe the versions that differ, for a warning; None if all are equal.

    Raises:
        ClusterError: the worker lacks a package, or has one whose messages this process cannot read.

    >>> difference("tcp://a:1", {"numpy": "2.1.0"}, {"numpy": "2.3.0"})
    'the worker at tcp://a:1 has numpy 2.1.0, and this process 2.3.0'
    """
    absent = [name for name in here if there.get(name) is None]
    if absent:
        raise ClusterError(
            f"the worker at {address} lacks {' and '.join(absent)}: pip install flowgrad-dask=={here['flowgrad-dask']} "
            "there, beside the same flowgrad and numpy as here"
        )
    others = {name: version for name, version in here.items() if there[name] != version}
    told = ", ".join(f"{name} {there[name]}, and this process {version}" for name, version in others.items())
    said = f"the worker at {address} has {told}" if others else None
    if any(_release(there[name], name) != _release(version, name) for name, version in others.items()):
        raise ClusterError(f"{said}: install the same on both")
    return said


def _release(version: str | None, name: str) -> list[str]:
    """Return the leading components of a version, as many as `DIGITS` says for the package."""
    return str(version).split(".")[: DIGITS[name]]
