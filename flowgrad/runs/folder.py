"""A run folder appears whole, under its final name, or not at all; `live` keeps it up to date while training runs."""

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
    """A run folder in its place; the older run that stood there; the locks on both, while they are worked on."""

    folder: Path
    old: Path | None = None
    locks: list[int | None] = field(default_factory=list)

    def drop_old(self) -> None:
        """Remove the older run: the new one has something to show."""
        if self.old is not None:
            shutil.rmtree(self.old, ignore_errors=True)
            self.old = None

    def put_back(self) -> None:
        """Remove the folder, and put the older run where it stood."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.old is not None:
            self.old.rename(self.folder)
            self.old = None

    def release(self) -> None:
        """Give the locks back: this process is done with the folder."""
        while self.locks:
            claims.release(self.locks.pop())


def write(folder: Path | None, name: str, fill: Callable[[Path], None], overwrite: bool = False) -> Path:
    """Make a run folder by `fill`, and give its path; an older run of that name goes, when this one is in place.

    Args, raises: as `place`.
    """
    placed = place(folder, name, fill, overwrite)
    placed.drop_old()
    placed.release()
    return placed.folder


def place(folder: Path | None, name: str, fill: Callable[[Path], None], overwrite: bool = False) -> Place:
    """Make a run folder by `fill` and put it in its place; an older run of that name is put aside, under a hidden name.

    What killed runs of the same name left behind is cleared first.

    Args:
        folder: where; None takes runs/NAME, or runs/NAME-2, … where that exists.
        fill: writes the files into the folder that it is given, which is renamed when it is done.
        overwrite: replace an older run of that name; never a folder that is none.

    Raises:
        FileError: it exists, or cannot be written.
    """
    target = folder if folder is not None else free(Path("runs"), name)
    check_target(target, overwrite)
    with _part(target) as (part, lock):
        fill(part)
        _sync(part)
        while folder is None and target.exists():  # somebody was faster
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
    """Take a run folder that is there, to go on with it.

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
    """Put the files that `fill` writes into a run folder that exists, file by file, summary.json last.

    Raises:
        FileError: it cannot be written.
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
    """A hidden folder beside the target, and its lock; it is gone afterwards. OSError becomes FileError."""
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
    """parent/name, or the first of parent/name-2, … that does not exist."""
    path, k = parent / name, 2
    clear(path)
    while path.exists():
        path, k = parent / f"{name}-{k}", k + 1
        clear(path)
    return path


def clear(folder: Path) -> None:
    """Finish what killed runs of this folder's name began: half-written folders go, and of two runs one stays.

    Where a killed run had put an older one aside, and has no epoch to show, the older one is put back; else that goes.
    What belongs to a living process is not touched.
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
                    lock = claims.lock(folder)  # of a living run: BlockingIOError, and both stay
                    try:
                        Place(folder, old).put_back()
                    finally:
                        claims.release(lock)


def _has_epochs(folder: Path) -> bool:
    """Whether a run has something to show: its end, or the line of an epoch."""
    if (folder / "summary.json").exists():
        return True
    with suppress(OSError), (folder / "metrics.csv").open("rb") as file:
        return len(list(islice(file, 2))) > 1
    return False


def check_target(folder: Path, overwrite: bool, hint: str = "") -> None:
    """Raises FileError where something is in the way; asked for before training, not after. Clears, as `clear` does.

    Args:
        hint: what else could be done than to name another folder, in the message: options of a command, or arguments.
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
    """Rename the finished folder to its name, and an older one out of its way."""
    target = placed.folder
    if target.exists():
        with suppress(OSError):  # a run that trains there still has it
            placed.locks.append(claims.lock(target))
        placed.old = claims.hidden(target, "old")
        target.rename(placed.old)
    part.rename(target)
    _sync_folder(target.parent)


def _sync(folder: Path) -> None:
    """Files and folder on disk before the rename says that they are."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # Windows opens no folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
