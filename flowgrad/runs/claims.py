"""Hidden folders that a process works in until they take their place, and those that killed processes left.

Such a name is `.NAME.8 hexadecimal digits.KIND` beside NAME. Its process holds a lock on it (flock), which the system
gives back when the process ends, however it ends: one that can be locked belongs to nobody any more. Where the system
has no such locks nothing counts as left behind.
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
    fcntl = None  # type: ignore[assignment]

Kind = Literal["part", "old"]


def hidden(target: Path, kind: Kind) -> Path:
    """Give a new hidden name beside a target."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.{kind}")


def lock(path: Path) -> int:
    """Lock a folder for this process; the descriptor keeps the lock until it is closed.

    Raises:
        BlockingIOError: another descriptor has it. OSError: it is not there, or the system cannot lock it.
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
    """Make a folder under a hidden name beside the target, and lock it; None for a lock that the system cannot give.

    Another process may see it before it is locked, and clear it away; it is then made under another name.

    Raises:
        OSError: it cannot be made.
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
    """Give a lock back."""
    if descriptor is not None:
        os.close(descriptor)


@contextmanager
def left_behind(target: Path, kind: Kind) -> Iterator[list[Path]]:
    """Give what killed processes left beside a target, the newest first, locked while the block runs."""
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
    """Remove what killed processes were writing to put in a target's place."""
    with left_behind(target, "part") as paths:
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
