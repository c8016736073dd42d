"""Registry of named entries: `find(kind, name)` searches flowgrad's own modules and tables, and entry points.

A kind is a folder with one module per name (executors, optimizers, formats, callbacks, displays, cli), each of which
defines `entry`, or modules with a table `entries` (metrics, schedules, topologies; in `flowgrad.maths` activations,
aggregations, losses, initializers).
Other packages add entries to kind K by the entry point group `flowgrad.K`. Nothing is registered at run
time, and listing names imports no other package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

from flowgrad.aliases import BY_KIND, PACKAGES
from flowgrad.errors import FlowgradError, UnknownNameError, brief, folded, suggest

FOLDERS = ("executors", "optimizers", "formats", "callbacks", "displays", "cli")
ELSEWHERE = ("executor_info",)  # declarations without an import of the backend, found only among entry points
TABLES = {  # kind → modules whose tables hold its entries
    "activations": ("maths.activations", "maths.rectifiers", "maths.foreign"),
    "aggregations": ("maths.aggregations",),
    "losses": ("maths.losses", "maths.survival"),
    "initializers": ("maths.initializers",),
    "metrics": ("metrics",),
    "schedules": ("schedules",),
    "topologies": ("topologies",),
}
SINGULAR = {"aggregations": "aggregation", "losses": "loss", "topologies": "topology", "cli": "command"}


def _own(kind: str) -> tuple[str, ...]:
    """List the names that flowgrad itself defines, in the order of the table, or of the alphabet for folders."""
    if kind in TABLES:
        return tuple(_table(kind))
    if kind in ELSEWHERE:
        return ()
    spec = find_spec(f"flowgrad.{kind}")
    if kind not in FOLDERS or spec is None or spec.submodule_search_locations is None:
        raise UnknownNameError(f"unknown kind {brief(kind)}{suggest(kind, (*FOLDERS, *TABLES))}")
    modules = (m.name for m in iter_modules(spec.submodule_search_locations))
    return tuple(sorted(m.replace("_", "-") for m in modules if not m.startswith("_")))


@cache
def _table(kind: str) -> Mapping[str, Any]:
    """Merge the `entries` tables of a kind's modules, in their order: name → entry."""
    modules = (import_module(f"flowgrad.{module}") for module in TABLES[kind])
    return MappingProxyType({name: entry for module in modules for name, entry in module.entries.items()})


def is_own(kind: str, record: Any) -> bool:
    """Tell whether a record is flowgrad's own, for a kind with a table; False for users' and other packages' records.

    >>> from flowgrad.maths.activations import entries
    >>> is_own("activations", entries["tanh"]), is_own("losses", entries["tanh"])
    (True, False)
    """
    return bool(_table(kind).get(getattr(record, "name", "")) == record)


@cache
def _others(kind: str) -> dict[str, EntryPoint]:
    """Index the entry points of the group `flowgrad.<kind>` by name; raises if two packages define the same name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"flowgrad.{kind}"):
        rival = found.setdefault(point.name, point)
        if rival.value != point.value:
            raise FlowgradError(
                f"two packages claim the {singular(kind)} {point.name!r}: {rival.value} and {point.value}; "
                "uninstall one of them"
            )
    return found


def singular(kind: str) -> str:
    """Return the singular of a kind's name, for messages: `executors` → `executor`."""
    return SINGULAR.get(kind, kind.removesuffix("s"))


@cache
def names(kind: str) -> tuple[str, ...]:
    """List all names of a kind: flowgrad's own, then those of other packages in alphabetical order.

    Args:
        kind: name of the kind, such as "activations" (see `FOLDERS`, `ELSEWHERE` and `TABLES`).

    Raises:
        UnknownNameError: no such kind.
        FlowgradError: another package defines a name of flowgrad's own, or two packages define the same name.

    >>> names("losses")[0]
    'squared_error'
    """
    own = _own(kind)
    clash = sorted(set(own) & set(_others(kind)))
    if clash:
        point = _others(kind)[clash[0]]
        raise FlowgradError(f"{point.value} claims the {singular(kind)} {brief(clash[0])}, which is flowgrad's own")
    return own + tuple(sorted(_others(kind)))


def nearest(kind: str, name: object, own: Iterable[str] = ()) -> str:
    """Return the end of an error message about an unknown name: the nearest names, or the package that provides it.

    Args:
        own: further names that are valid besides those of the registry.

    >>> nearest("losses", "mse"), nearest("activations", "ReLU")
    (": did you mean 'squared_error'?", ": did you mean 'relu'?")
    """
    aliases = _aliases(kind)
    absent = {n: package for n, package in PACKAGES.get(kind, {}).items() if n not in names(kind)}
    for meant in (folded(name), *aliases.get(folded(name), ())):
        if meant in absent:
            return f": it comes with {absent[meant]}, which is not installed (pip install {absent[meant]})"
    return suggest(name, (*own, *names(kind)), aliases)


def _aliases(kind: str) -> dict[str, list[str]]:
    """Map folded aliases to names of a kind: names used by other programs, and for formats their suffixes."""
    pairs = [(other, ours) for ours, others in BY_KIND.get(kind, {}).items() for other in others]
    if kind == "formats":
        pairs += [(suffix[1:], ours) for ours in names(kind) for suffix in find(kind, ours).suffixes]
    found: dict[str, list[str]] = {}
    for other, ours in pairs:
        found.setdefault(folded(other), []).append(ours)
    return found


def find(kind: str, name: str) -> Any:
    """Return the entry of a name, for example the Activation "tanh"; a module or entry point is imported if needed.

    Args:
        kind: name of the kind, such as "activations".
        name: one of `names(kind)`.

    Raises:
        UnknownNameError: no such kind or name; the message gives the nearest name.
        FlowgradError: as for `names`.
        ImportError: the package that provides the entry, or a library that its module imports, cannot be imported.

    >>> find("activations", "tanh").name
    'tanh'
    """
    if name not in names(kind):
        raise UnknownNameError(f"unknown {singular(kind)} {brief(name)}{nearest(kind, name)}")
    if name in _others(kind):
        return _others(kind)[name].load()
    if kind in TABLES:
        return _table(kind)[name]
    return import_module(f"flowgrad.{kind}.{name.replace('-', '_')}").entry
