"""Saving and loading of networks. A file is written atomically, and never contains code."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flowgrad.arguments import instance
from flowgrad.atomic import flush_folder, occupant, path_of, put, refused
from flowgrad.errors import (
    ConfigError,
    CycleError,
    DataError,
    FileError,
    FileWarning,
    FlowgradError,
    GraphError,
    UnknownNameError,
    brief,
    listing,
    suggest,
)
from flowgrad.format import KEEPS, Format, Parts, Progress, Source, described, is_bare, is_of, options_of, read_bytes
from flowgrad.formats._lost import lost
from flowgrad.gzipped import inner, is_packed, packed
from flowgrad.maths.activation import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.model import Model, about_of
from flowgrad.network import Network
from flowgrad.registry import find, names

SAID = 480  # characters; longer messages of readers are cut in the middle
RUN_NETWORK = "network.json"  # name of the network's file in a run folder


def save(
    network: Network | Model,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> None:
    """Write a network or a model to a file.

    The format `.json` stores topology, functions and attributes as JSON, and weights and biases in a safetensors file
    in the same folder; `.safetensors` stores all of them in one file. Of a model `.fgm` stores everything, and any
    other format stores the network of `Model.folded`, which takes unscaled columns. An existing file is replaced only
    when the new files are complete and on disk, so that it survives a crash of the machine (docs/files.md).

    Args:
        network: the network or model.
        path: name of the file. With `.gz` after its suffix the file is compressed, if the format allows it.
        format: a name (`flowgrad list formats`). Default: the format with the suffix of `path`.
        progress: a callable that is called with the fraction of a file written so far, above 0 and at most 1: after
            each part of the file in formats for large files, otherwise once for each file.
        options: keyword arguments of the `write` function of the format.

    Raises:
        FileError: the path is a folder or cannot be written, or files of this format are never gzipped.
        ConfigError: the format does not have an option, or the option's value is of the wrong type; the format cannot
            be written; several formats have this suffix and `format` is not given.
        UnknownNameError: no format has this name or suffix.
        GraphError: the network contains something that the format cannot keep, which the message names, such as an id
            of an unsupported type or a function of your own with the name of another one.
        DataError: `network` is neither a network nor a model, or `path` neither text nor a path object.
        MissingDependencyError: the format needs a library that is not installed.

    Warns:
        FileWarning: the format does not keep all of the network; the message lists what is lost.
    """
    model = network if isinstance(network, Model) else None
    network = instance("save", network, Network) if model is None else model.network
    target = path_of(path)
    if os.path.isdir(target):
        raise FileError(f"{target} is a folder: give the name of a file")
    chosen = format_of(target, format, "write")
    assert chosen.write is not None
    check_options(chosen, "write", options)
    with refused(target):
        before = occupant(target)
    if model is not None and chosen.write_model is not None:
        files = chosen.write_model(network, about_of(model), target)
    else:
        network = network if model is None else model.folded()
        files = chosen.write(network, inner(target), **options)
        _warn_of_loss(network, chosen, target)
    if is_packed(target):
        files = {target.name: _packed(files[inner(target).name])}
    obsolete = _companions(chosen, target) - set(files)
    _put_all(target, before, files, progress)
    for name in obsolete:  # companions that only the replaced file referred to
        with contextlib.suppress(OSError):
            (target.parent / name).unlink()


def _warn_of_loss(network: Network, chosen: Format, target: Path) -> None:
    """Warn of parts of the network that the format cannot hold."""
    missing = lost(network, chosen.keeps)
    if missing:
        said = f"{target.name} holds {KEEPS[str(chosen.keeps)].partition(';')[0]}, and not: {', '.join(missing)}"
        warnings.warn(FileWarning(said), stacklevel=3)


def load(
    path: str | os.PathLike[str],
    format: str | None = None,
    activations: Iterable[Activation | Aggregation] = (),
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Network:
    """Read a network from a file. If the file holds a model, its scaling is included in the weights.

    Args:
        path: name of the file. If it ends in `.gz`, the file is decompressed.
        format: a name (`flowgrad list formats`). Default: the format with the suffix of `path`.
        activations: your own `Activation` and `Aggregation` records, for functions in the file that neither flowgrad
            nor an installed plugin provides. A file names functions only, and cannot cause other code to run.
        progress: a callable that is called with the fraction of the file read so far, from 0 to 1; formats that read
            the whole file at once do not call it.
        options: keyword arguments of the `read` function of the format.

    Raises:
        ConfigError: the format does not have an option, or the option's value is of the wrong type; the format cannot
            be read; several formats have this suffix and `format` is not given.
        FileError: the file is missing, a folder, unreadable, truncated, altered, not of the format, or too large for
            the memory.
        UnknownNameError: no format has this name or suffix; or the file names an unknown function.
        GraphError: the file describes no valid network. CycleError: the network has a cycle.
        DataError: `path` is neither text nor a path object; `activations` contains anything other than such records,
            or one with the name of another function.
        MissingDependencyError: the format needs a library that is not installed.
    """
    chosen, source = source_of(path, format, activations, progress, options)
    assert chosen.read is not None
    with said_of(source.path):
        return chosen.read(source, **options)


def source_of(
    path: str | os.PathLike[str],
    format: str | None,
    activations: Iterable[Activation | Aggregation],
    progress: Progress | None,
    options: Mapping[str, object],
) -> tuple[Format, Source]:
    """Find the format that reads a file, and make its reader's Source; arguments and errors are those of `load`."""
    target = path_of(path)
    if os.path.isdir(target):
        run = target / RUN_NETWORK
        of_run = f"fg.load_model for the run, or {run} for its network" if run.is_file() else "the name of a file in it"
        raise FileError(f"{target} is a folder: give {of_run}")
    chosen = format_of(target, format, "read")
    check_options(chosen, "read", options)
    return chosen, Source(target, _own(activations), progress)


@contextlib.contextmanager
def said_of(target: Path) -> Iterator[None]:
    """Re-raise a reader's errors with the file's name in the message, cut to about `SAID` characters."""
    try:
        yield
    except MemoryError:
        raise FileError(f"{target} holds more than fits into memory") from None
    except CycleError as error:
        raise CycleError(error.cycle, f"{target}: ") from None
    except FlowgradError as error:
        said = str(error)
        if isinstance(error, GraphError) and str(target) not in said:
            said = f"{target}: {said}"
        if len(said) > SAID:  # names in a file may be of any length
            said = f"{said[: SAID // 2]} … {said[-SAID // 3 :]}"
        if said == str(error):
            raise
        raise type(error)(said) from None


def check_options(chosen: Format, act: str, given: Mapping[str, object]) -> None:
    """Raise ConfigError unless each option is a keyword argument of the format's `read` or `write`, of its type."""
    hints = options_of(getattr(chosen, act))
    for name, value in given.items():
        if name not in hints:
            raise ConfigError(f"format {chosen.name!r} has no option {brief(name)} to {act} with{suggest(name, hints)}")
        if not is_of(value, hints[name]):
            said = f"option {name}={brief(value)} of format {chosen.name!r}"
            raise ConfigError(f"{said}: must be {' or '.join(described(hints[name]))}")


def _own(given: Iterable[Activation | Aggregation]) -> dict[str, Activation | Aggregation]:
    """Index the user's records by name; raises DataError if a name already stands for a different record."""
    if isinstance(given, (str, Activation, Aggregation)) or not isinstance(given, Iterable):
        raise DataError(f"activations={brief(given)}: give a list of Activation and Aggregation records")
    own: dict[str, Activation | Aggregation] = {}
    for record in given:
        if not isinstance(record, (Activation, Aggregation)):
            raise DataError(
                f"activations holds {brief(record)}, a {type(record).__name__}: give Activation or Aggregation records"
            )
        kind = "activations" if isinstance(record, Activation) else "aggregations"
        taken = find(kind, record.name) if record.name in names(kind) else own.get(record.name, record)
        if taken != record:
            raise DataError(f"activations holds {brief(record)}, and that name already stands for {brief(taken)}")
        own[record.name] = record
    return own


# ---- which format -------------------------------------------------------------------------------------------


def format_of(path: Path, name: str | None, act: str) -> Format:
    """Find the format of that name, else of the suffix before `.gz`, that supports `act`: "read" or "write".

    Raises:
        UnknownNameError, ConfigError: no format fits, or more than one.
        FileError: `path` is no name of a file, or ends in `.gz` and files of the format are never gzipped.
    """
    chosen = _format_of(inner(path), name, act)
    if is_packed(path) and not chosen.packs:
        raise FileError(f"{brief(path.name)}: files of format {chosen.name!r} are never under gzip: leave out .gz")
    return chosen


def _format_of(path: Path, name: str | None, act: str) -> Format:
    if name is not None:
        if not isinstance(name, str):
            raise ConfigError(f"format={brief(name)}: give the name of a format, or None to go by the suffix")
        chosen: Format = find("formats", name)
        if getattr(chosen, act) is None:
            raise ConfigError(f"format {brief(name)} cannot {act}: {chosen.summary}")
        return chosen
    if not path.name:
        raise FileError(f"{brief(str(path))} is no name of a file")
    if path.suffixes in ([".json"], [".safetensors"], [".fgm"]):
        native: Format = find("formats", path.suffix[1:])
        return native  # no other format need be imported
    known = [f for f in (find("formats", n) for n in names("formats")) if getattr(f, act) is not None]
    fitting = [(len(s), f.name, f) for f in known for s in f.suffixes if path.name.lower().endswith(s)]
    if not fitting:
        said = f"whose suffix is {brief(path.suffix)}" if path.suffix else "which has no suffix"
        suffixes = sorted({s for f in known for s in f.suffixes})
        raise UnknownNameError(f"no format to {act} fits {brief(path.name)}, {said}{suggest(path.suffix, suffixes)}")
    longest = max(fitting)[0]
    best: dict[str, Format] = {n: f for length, n, f in fitting if length == longest}
    own = best.get(path.suffix.lower()[1:])
    if own is not None:
        return own  # a suffix that is the name of a format means that one: .json is json
    if len(best) > 1:
        raise ConfigError(f"{brief(path.name)} may be {listing(sorted(best))}: say which by format=")
    return next(iter(best.values()))


def _packed(data: bytes | Parts) -> bytes | Parts:
    """Compress the content of a file by gzip; `Parts` are compressed one by one."""
    if isinstance(data, bytes):
        return packed(data)
    return Parts(data.count, lambda k: packed(data.part(k)))


# ---- whole, or not at all -----------------------------------------------------------------------------------


def _companions(chosen: Format, target: Path) -> set[str]:
    """List the companions that the file now at `target` refers to, of those whose names begin with its stem."""
    if chosen.companions is None or not os.path.isfile(target):
        return set()
    try:
        named = chosen.companions(read_bytes(target))
    except FileError:
        return set()
    stem = target.name.removesuffix(target.suffix)
    return {name for name in named if is_bare(name) and name.startswith(f"{stem}.") and name != target.name}


def _put_all(
    target: Path, before: os.stat_result | None, files: Mapping[str, bytes | Parts], progress: Progress | None
) -> None:
    """Write every file into the target's folder, the target last; on failure the new ones are removed again.

    Each has the owner, group and permissions that the target had `before`.
    """
    folder, new = target.parent, [target.parent / name for name in files]
    new = [path for path in new if not os.path.exists(path)]
    old = None if before is None else (before.st_dev, before.st_ino)
    with refused(target):
        try:
            for name, data in files.items():
                put(folder / name, _told(data, progress), before)
                flush_folder(folder)
        except BaseException:
            if _identity(target) == old:  # else the new target is in place and refers to the other files
                for path in new:
                    with contextlib.suppress(OSError):
                        path.unlink()
            raise


def _identity(path: Path) -> tuple[int, int] | None:
    """Return (device, inode), which changes when a file is replaced; None if the file does not exist."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _told(data: bytes | Parts, progress: Progress | None) -> Iterator[bytes]:
    """Yield the parts of a file; calls `progress` when the next one is requested, as the last is then written."""
    for k, part in enumerate((data,) if isinstance(data, bytes) else data, 1):
        yield part
        if progress is not None:
            progress(1.0 if isinstance(data, bytes) else k / data.count)
