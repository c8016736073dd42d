"""A file is put in its place whole, or not at all; only regular files give way to it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from flowgrad.errors import DataError, FileError, brief

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = re.compile(r"\.flowgrad-[0-9a-f]{16}\.tmp")
YOUNG = 10.0  # seconds: a file that is younger may be about to be locked
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFSOCK: "a socket",
}


def same_file(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to one file, by links and by other spellings too; False where either leads to none."""
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):
        return False


def put(path: Path, parts: Iterable[bytes], like: os.stat_result | None = None) -> None:
    """Write one file atomically and durably: beside its place, flushed to disk, renamed. A link is followed.

    The file has the owner, group and permissions of the one that it replaces, where the system allows, and else
    the permissions that the umask leaves.

    Args:
        parts: its bytes, a piece at a time.
        like: whose owner, group and permissions it is given; None takes what stands at `path`.

    Raises:
        OSError: as `occupant`, or the system refuses; nothing is left behind then, nor after an interrupt.
    """
    path = resolved(path)
    standing = occupant(path)
    like = standing if like is None else like
    temporary = path.with_name(f".flowgrad-{secrets.token_hex(8)}.tmp")
    opener = partial(os.open, mode=0o666 if like is None else 0o600)
    try:
        with open(temporary, "xb", opener=opener) as file:  # no bytecode, and so no interrupt, before it has an owner
            if fcntl is not None:
                with contextlib.suppress(OSError):  # a network disk without locks
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            for part in parts:
                file.write(part)
            file.flush()
            if like is not None:
                _dress(temporary, like)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def clear_temporaries(folder: Path) -> None:
    """Remove from a folder what writers that were killed left there; a living writer holds a lock on its file.

    Where the system has no such locks nothing counts as left behind.
    """
    if fcntl is None:
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY.fullmatch(entry.name) and time.time() - entry.stat(follow_symlinks=False).st_mtime > YOUNG:
                with contextlib.suppress(OSError), open(entry.path, "rb") as file:
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry.path)


@contextlib.contextmanager
def refused(target: Path) -> Iterator[None]:
    """Raise what the system does not allow as a FileError that names the file."""
    try:
        yield
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error or "out of memory"
        raise FileError(f"{target} cannot be written: {reason}") from None


def path_of(path: object) -> Path:
    """Give the path that text or a path object names, symbolic links followed: a link that is written to stays a link.

    Raises:
        DataError: it is neither. FileError: it is no path of this system.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise DataError(f"path {brief(path)} is a {type(path).__name__}: give text or a Path")
    text = os.fsdecode(path)
    try:
        return resolved(Path(text)) if text else Path(text)
    except (OSError, ValueError) as error:
        raise FileError(f"{brief(text)} is no path: {getattr(error, 'strerror', None) or error}") from None


def resolved(path: Path) -> Path:
    """The path, symbolic links followed; as it is where they lead to no path, as that of /dev/stdout may."""
    real = Path(os.path.realpath(path))
    return path if os.path.exists(path) and not os.path.exists(real) else real


def occupant(path: Path) -> os.stat_result | None:
    """The status of the file that is about to be replaced; None where there is none.

    Raises:
        OSError: it is no regular file, or read-only; `strerror` says so in words.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder: give the name of a file", str(path))
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, and only a regular file is replaced", str(path))
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "it is read-only", str(path))
    return found


def _dress(path: Path, like: os.stat_result) -> None:
    """Give a file the owner, the group and the permissions of another one, as far as the system allows."""
    for owner in (like.st_uid, -1):  # who may not give a file away may still choose among groups
        with contextlib.suppress(OSError, AttributeError):  # Windows has no chown
            os.chown(path, owner, like.st_gid)
            break
    path.chmod(stat.S_IMODE(like.st_mode))


def flush_folder(folder: Path) -> None:
    """The folder's entries to disk, where the system can: Windows cannot, some network disks cannot."""
    if os.name == "nt":
        return
    descriptors: list[int] = []
    try:
        descriptors += map(os.open, (folder,), (os.O_RDONLY,))  # by one call, which no interrupt divides
        os.fsync(descriptors[0])
    except OSError as error:
        if not descriptors or error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
