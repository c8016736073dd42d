"""Atomic and durable replacement of files; only a regular file is ever replaced."""

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
    fcntl = None  # type: ignore[assignment]  # Windows has none

TEMPORARY = re.compile(r"\.flowgrad-[0-9a-f]{16}\.tmp")
YOUNG = 10.0  # seconds: age up to which a temporary file is kept, as its writer may not have locked it yet
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFSOCK: "a socket",
}


def same_file(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> bool:
    """Tell whether two paths name the same file, through links or other spellings; False if either does not exist."""
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):
        return False


def put(path: Path, parts: Iterable[bytes], like: os.stat_result | None = None) -> None:
    """Write one file atomically and durably: to a temporary file in its folder, fsync, rename. Links are followed.

    The file gets the owner, group and permissions of the one that it replaces, where the system allows; a new file
    has the permissions that the umask leaves.

    Args:
        parts: the content, in pieces.
        like: status whose owner, group and permissions are copied; None takes that of the file at `path`.

    Raises:
        OSError: as `occupant`, or the system refuses. No temporary file remains after an error or an interrupt.
    """
    path = resolved(path)
    standing = occupant(path)
    like = standing if like is None else like
    temporary = path.with_name(f".flowgrad-{secrets.token_hex(8)}.tmp")
    opener = partial(os.open, mode=0o666 if like is None else 0o600)
    try:
        with open(temporary, "xb", opener=opener) as file:  # no interrupt can come between creation and `with`
            if fcntl is not None:
                with contextlib.suppress(OSError):  # network file systems without locks
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
    """Remove temporary files of killed writers from a folder; a running writer holds a lock on its file.

    Without `fcntl` locks (Windows) nothing is removed.
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
    """Re-raise OSError, ValueError and MemoryError of writing as a FileError that names the file."""
    try:
        yield
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error or "out of memory"
        raise FileError(f"{target} cannot be written: {reason}") from None


def path_of(path: object) -> Path:
    """Convert text or a path object to a Path with symbolic links resolved, so that writing keeps a link a link.

    Raises:
        DataError: `path` is neither. FileError: the system does not accept it as a path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise DataError(f"path {brief(path)} is a {type(path).__name__}: give text or a Path")
    text = os.fsdecode(path)
    try:
        return resolved(Path(text)) if text else Path(text)
    except (OSError, ValueError) as error:
        raise FileError(f"{brief(text)} is no path: {getattr(error, 'strerror', None) or error}") from None


def resolved(path: Path) -> Path:
    """Resolve symbolic links; returns the path itself if it exists but its target is no path, as for /dev/stdout."""
    real = Path(os.path.realpath(path))
    return path if os.path.exists(path) and not os.path.exists(real) else real


def occupant(path: Path) -> os.stat_result | None:
    """Return the status of the file that is about to be replaced; None if there is none.

    Raises:
        OSError: it is no regular file, or read-only; `strerror` gives the reason in words.
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
    """Set owner, group and permissions of a file to those in `like`, as far as the system allows."""
    for owner in (like.st_uid, -1):  # without the right to change the owner, set the group alone
        with contextlib.suppress(OSError, AttributeError):  # Windows has no chown
            os.chown(path, owner, like.st_gid)
            break
    path.chmod(stat.S_IMODE(like.st_mode))


def flush_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk (fsync); no effect on Windows or where the file system lacks it."""
    if os.name == "nt":
        return
    descriptors: list[int] = []
    try:
        descriptors += map(os.open, (folder,), (os.O_RDONLY,))  # one call: an interrupt cannot lose the descriptor
        os.fsync(descriptors[0])
    except OSError as error:
        if not descriptors or error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
