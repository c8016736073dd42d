"""What may stand where a file is written: a regular file gives way and lends its owner, nothing else gives way."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dis import opname
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import flowgrad as fg
from flowgrad import atomic
from flowgrad.inspection import trace, write_trace
from flowgrad.tables import table as tables

pytestmark = pytest.mark.skipif(os.name == "nt", reason="files of POSIX")


def network() -> fg.Network:
    return fg.topologies.layered([2, 1], seed=0)


def steps() -> Iterator[Any]:
    return trace(fg.compile(network(), executor="python", loss="squared_error"), [[1.0, 2.0]], [[0.0]])


WRITERS: dict[str, Callable[[Path], object]] = {
    "json": lambda path: fg.save(network(), path, format="json"),
    "safetensors": lambda path: fg.save(network(), path, format="safetensors"),
    "graphml": lambda path: fg.save(network(), path, format="graphml"),
    "html": lambda path: fg.save(network(), path, format="html"),
    "a trace": lambda path: write_trace(path, steps()),
    "a table": lambda path: tables.write(path, {"x": [1.0]}),
}


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    return WRITERS[request.param]


def kind_of(path: Path) -> int:
    return stat.S_IFMT(os.lstat(path).st_mode)


def test_a_fifo_stays(writer: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(fg.FlowgradError, match=r"(?i)pipe.*fifo.*regular file"):
        writer(path)
    assert kind_of(path) == stat.S_IFIFO
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_socket_and_what_a_link_leads_to_stay(writer: Callable[[Path], object], tmp_path: Path) -> None:
    path, link = tmp_path / "s", tmp_path / "link"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        link.symlink_to(path)
        for each in (path, link):
            with pytest.raises(fg.FlowgradError, match="socket"):
                writer(each)
    assert (kind_of(path), kind_of(link)) == (stat.S_IFSOCK, stat.S_IFLNK)


def test_a_device_stays(writer: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/null itself where it can be made anew; else the test would only look at it."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except OSError:
        path.symlink_to(os.devnull)
        monkeypatch.setattr(os, "replace", lambda *_: pytest.fail("it would have been replaced"))
    with pytest.raises(fg.FlowgradError, match="character device"):
        writer(path)
    assert stat.S_ISCHR(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_standard_output_is_no_place_for_a_file(writer: Callable[[Path], object]) -> None:
    """The link leads to a pipe that has no path."""
    read, write = os.pipe()
    with open(read, "rb"), open(write, "wb"):
        place = Path(f"/proc/self/fd/{write}")
        if not place.exists():
            pytest.skip("no /proc here")
        with pytest.raises(fg.FlowgradError, match=r"(?i)fifo"):
            writer(place)


def test_what_cannot_be_replaced_is_said_before_the_network_is_written(tmp_path: Path) -> None:
    path, called = tmp_path / "pipe.json", []
    os.mkfifo(path)
    with pytest.raises(fg.errors.FileError, match="regular"):
        fg.save(network(), path, progress=called.append)
    assert not called


def test_a_link_stays_and_its_file_is_replaced(writer: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    file, link = tmp_path / "real" / "file", tmp_path / "link"
    file.write_text("old")
    link.symlink_to(file)
    writer(link)
    assert kind_of(link) == stat.S_IFLNK
    assert file.read_bytes() != b"old"
    assert os.listdir(tmp_path) in (["real", "link"], ["link", "real"])


def test_owner_group_and_permissions_are_kept(
    writer: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is asked of the system, as only root may give files away."""
    path = tmp_path / "file"
    writer(path)
    path.chmod(0o640)
    owner, asked = path.stat(), []
    monkeypatch.setattr(os, "chown", lambda _, user, group: asked.append((user, group)), raising=False)
    writer(path)
    assert set(asked) == {(owner.st_uid, owner.st_gid)}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_root_leaves_a_file_to_its_owner(writer: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "file"
    writer(path)
    os.chown(path, 12345, 54321)
    path.chmod(0o604)
    writer(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 54321, 0o604)


def test_who_may_not_keep_the_owner_keeps_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kept = tmp_path / "net.json", []
    fg.save(network(), path)

    def chown(_: Any, user: int, group: int) -> None:
        if user != -1:
            raise PermissionError(1, "Operation not permitted")
        kept.append(group)

    monkeypatch.setattr(os, "chown", chown)
    fg.save(network(), path)
    assert kept == [path.stat().st_gid] * len(kept) != []
    monkeypatch.setattr(os, "chown", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no")))
    fg.save(network(), path)  # neither: the file is written all the same
    assert fg.load(path).inputs == network().inputs


# ---- interrupts ---------------------------------------------------------------------------------------------


def descriptors() -> list[str]:
    return [
        os.readlink(f"/proc/self/fd/{k}") for k in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{k}")
    ]


LOOKS = ("CALL", "JUMP_BACKWARD", "RESUME")  # instructions after which Python looks whether a signal has come


def interrupted_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work` with a Ctrl-C at the step-th moment when `atomic` may hear one; whether there are so many."""
    moments, last = [0], {}

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != atomic.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            before = last.get(frame)
            last[frame] = frame.f_code.co_code[frame.f_lasti]
            if before is not None and opname[before].startswith(LOOKS):
                moments[0] += 1
                if moments[0] == step:
                    raise KeyboardInterrupt
        return watch

    try:
        sys.settrace(watch)
        work()
    finally:
        sys.settrace(None)
    return moments[0] >= step


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at /proc")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("standing", [False, True])
def test_an_interrupt_at_any_moment_leaves_no_file_and_no_descriptor(tmp_path: Path, standing: bool) -> None:
    path, data = tmp_path / "file", [b"new"]
    interrupted_at(10**9, lambda: atomic.flush_folder(tmp_path))  # Python 3.12.1 traces opcodes from the second time on
    for step in range(1, 10_000):
        if standing:
            path.write_bytes(b"old")
        else:
            path.unlink(missing_ok=True)
        before = descriptors()

        def work() -> None:
            atomic.put(path, data)
            atomic.flush_folder(tmp_path)

        ended = False
        with suppress(KeyboardInterrupt):
            ended = not interrupted_at(step, work)
        assert descriptors() == before, f"after {step} moments"
        assert os.listdir(tmp_path) in ([], ["file"]), f"after {step} moments"
        if path.exists():
            assert path.read_bytes() in (b"old", b"new")
        if ended:
            break
    assert path.read_bytes() == b"new"
    assert step > 20


@pytest.mark.parametrize("suffix", [".json", ".safetensors", ".graphml", ".csv"])
def test_an_interrupt_in_the_moment_of_opening_leaves_nothing(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def opened(*args: Any, **kwargs: Any) -> int:
        os.close(real(*args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(KeyboardInterrupt):
        fg.save(network(), tmp_path / f"net{suffix}")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []
