"""Atomic creation, replacement and update of run folders; `live` updates them while training runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from flowgrad.atomic import clear_temporaries
from flowgrad.errors import FileError
from flowgrad.files import RUN_NETWORK
from flowgrad.runs import claims


@dataclass
class Place:
    """A run folder under its final name, the hidden folder of the older run that it replaces, and locks on both."""

    folder: Path
    old: Path | None = None
    locks: list[int | None] = field(default_factory=list)

    def drop_old(self) -> None:
        """Remove the older run, once the new one has results."""
        if self.old is not None:
            shutil.rmtree(self.old, ignore_errors=True)
            self.old = None

    def put_back(self) -> None:
        """Remove the folder, and rename the older run back to its name."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.old is not None:
            self.old.rename(self.folder)
            self.old = None

    def release(self) -> None:
        """Release the locks of this process on the folders."""
        while self.locks:
            claims.release(self.locks.pop())


def write(folder: Path | None, name: str, fill: Callable[[Path], None], overwrite: bool = False) -> Path:
    """Make a run folder by `fill` and return its path; an older run of that name is removed after the rename.

    Args, raises: as `place`.
    """
    placed = place(folder, name, fill, overwrite)
    placed.drop_old()
    placed.release()
    return placed.folder


def place(folder: Path | None, name: str, fill: Callable[[Path], None], overwrite: bool = False) -> Place:
    """Make a run folder by `fill` and rename it to its target; an older run there is renamed to a hidden name.

    Leftovers of killed runs of the same name are cleared first.

    Args:
        folder: the target; None takes runs/NAME, or the first free one of runs/NAME-2, ….
        fill: writes the files into a given hidden folder, which is then synced to disk and renamed.
        overwrite: whether an older run there may be replaced; a folder that is no run never is.

    Raises:
        FileError: the target exists, or cannot be written.
    """
    target = folder if folder is not None else free(Path("runs"), name)
    check_target(target, overwrite)
    with _part(target) as (part, lock):
        fill(part)
        _sync(part)
        while folder is None and target.exists():  # another process has taken the name
            target = free(Path("runs"), name)
        placed = Place(target)
        try:
            _put(part, placed)
            placed.locks.append(None if lock is None else os.dup(lock))
        except BaseException:
            placed.release()
            raise
        return placed


def reopen(folder: Path) -> Place:
    """Lock an existing run folder to resume its training.

    Raises:
        FileError: another process trains there.
    """
    placed = Place(folder)
    try:
        placed.locks.append(claims.lock(folder))
    except BlockingIOError:
        raise FileError(f"{folder}: another process trains there") from None
    except OSError:  # a system without such locks
        pass
    return placed


def refill(folder: Path, fill: Callable[[Path], None]) -> None:
    """Replace files of an existing run folder by those that `fill` writes, one by one, summary.json last.

    Raises:
        FileError: the folder cannot be written.
    """
    with _part(folder) as (part, _):
        fill(part)
        _sync(part)
        last = {RUN_NETWORK: 1, "summary.json": 2}  # weights before the network that names them
        new = sorted((path.name for path in part.iterdir()), key=lambda name: (last.get(name, 0), name))
        stem = Path(RUN_NETWORK).stem
        stale = {path.name for path in folder.glob(f"{stem}.*.safetensors")} - set(new)
        for name in new:
            (part / name).replace(folder / name)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
        _sync_folder(folder)


@contextmanager
def _part(target: Path) -> Iterator[tuple[Path, int | None]]:
    """Make a hidden folder beside the target, with its lock; removed after the block. OSError becomes FileError."""
    part, lock = None, None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part, lock = claims.claim(target)
        yield part, lock
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot write {target}: {(error.strerror or str(error)).lower()}") from None
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
        claims.release(lock)


def free(parent: Path, name: str) -> Path:
    """Return parent/name, or the first of parent/name-2, … that does not exist, after clearing leftovers of each."""
    path, k = parent / name, 2
    clear(path)
    while path.exists():
        path, k = parent / f"{name}-{k}", k + 1
        clear(path)
    return path


def clear(folder: Path) -> None:
    """Clean up after killed runs of this folder's name: remove unfinished folders, and one of two runs.

    An older run that a killed run had renamed is put back if the killed run has no finished epoch, else removed.
    Folders of living processes are not touched.
    """
    claims.clear_parts(folder)
    clear_temporaries(folder)
    with claims.left_behind(folder, "old") as older:
        for old in older:
            with suppress(OSError):
                if not folder.exists():
                    old.rename(folder)
                elif _has_epochs(folder):
                    shutil.rmtree(old)
                elif (folder / RUN_NETWORK).exists():
                    lock = claims.lock(folder)  # BlockingIOError if its run is alive: both stay
                    try:
                        Place(folder, old).put_back()
                    finally:
                        claims.release(lock)


def _has_epochs(folder: Path) -> bool:
    """Whether a run has a summary.json, or a line of an epoch in metrics.csv."""
    if (folder / "summary.json").exists():
        return True
    with suppress(OSError), (folder / "metrics.csv").open("rb") as file:
        return len(list(islice(file, 2))) > 1
    return False


def check_target(folder: Path, overwrite: bool, hint: str = "") -> None:
    """Raise FileError where the folder cannot be used for a run; for use before training. Calls `clear` first.

    Args:
        hint: end of the message for an existing folder: alternatives to naming another, as options or arguments.
    """
    clear(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise FileError(f"{folder} is a file: name another folder for the run")
    if not overwrite:
        raise FileError(f"{folder} exists: name another folder{hint}")
    if not (folder / RUN_NETWORK).exists():
        raise FileError(f"{folder} is no run folder: it will not be overwritten")


def _put(part: Path, placed: Place) -> None:
    """Rename the finished folder to its final name, after an older one there to a hidden name."""
    target = placed.folder
    if target.exists():
        with suppress(OSError):  # a run that still trains there holds the lock
            placed.locks.append(claims.lock(target))
        placed.old = claims.hidden(target, "old")
        target.rename(placed.old)
    part.rename(target)
    _sync_folder(target.parent)


def _sync(folder: Path) -> None:
    """Flush the files of a folder and the folder itself to disk, before it is renamed."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # Windows cannot open folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
