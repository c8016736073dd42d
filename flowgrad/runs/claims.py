"""Hidden working folders, renamed to their targets when complete, and the clean-up of those of killed processes.

Such a folder is named `.NAME.8 hexadecimal digits.KIND`, beside NAME. Its process holds a lock on it (flock), which the
system releases when the process ends in any way: a folder that can be locked has no living owner. Where the system has
no such locks, no folder counts as left behind.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]  # Windows has none

Kind = Literal["part", "old"]


def hidden(target: Path, kind: Kind) -> Path:
    """Return a new hidden name beside a target; "part": being written, "old": replaced."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.{kind}")


def lock(path: Path) -> int:
    """Lock a folder and return a file descriptor, which holds the lock until it is closed.

    Raises:
        BlockingIOError: another descriptor holds the lock. OSError: the folder is missing, or cannot be locked here.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there, mine = path.stat(), os.fstat(descriptor)
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def claim(target: Path, make: Callable[[Path], None] = Path.mkdir) -> tuple[Path, int | None]:
    """Make a folder under a hidden name beside the target and lock it; the lock is None where locks are unsupported.

    If another process removes it before it is locked, it is made again under another name.

    Raises:
        OSError: the folder cannot be made.
    """
    while True:
        path = hidden(target, "part")
        make(path)
        try:
            return path, lock(path)
        except (BlockingIOError, FileNotFoundError):
            continue
        except OSError:
            return path, None


def release(descriptor: int | None) -> None:
    """Release a lock by closing its descriptor; None is ignored."""
    if descriptor is not None:
        os.close(descriptor)


@contextmanager
def left_behind(target: Path, kind: Kind) -> Iterator[list[Path]]:
    """List the folders of a kind that killed processes left beside a target, newest first, locked during the block."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.{kind}")
    found: dict[Path, int] = {}
    try:
        with suppress(OSError):
            for path in target.parent.iterdir():
                if name.fullmatch(path.name):
                    with suppress(OSError):
                        found[path] = lock(path)
        yield sorted(found, key=lambda path: os.fstat(found[path]).st_mtime, reverse=True)
    finally:
        for descriptor in found.values():
            os.close(descriptor)


def clear_parts(target: Path) -> None:
    """Remove the unfinished folders of killed processes beside a target."""
    with left_behind(target, "part") as paths:
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
