"""Writing is all or nothing: whatever fails, and whenever, what stood there before can still be loaded."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

import flowgrad as fg
from flowgrad import files
from flowgrad.errors import FileError

POSIX = pytest.mark.skipif(os.name == "nt", reason="permissions and links of POSIX")


def bias(path: Path) -> float:
    return float(fg.load(path).columns.bias[1])


def names(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.iterdir())


# ---- crashes ------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """Stands for the machine stopping: nothing that cleans up is to run after it."""


STEPS = ("open", "fsync", "replace", "unlink")


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int, crash: BaseException) -> list[str]:
    """The step-th call of the system raises; what was called until then."""
    done: list[str] = []

    def counted(name: str):
        real = getattr(os, name)

        def call(*args, **kwargs):
            if len(done) >= step:
                raise crash  # and every later call fails as well: no cleaning up
            done.append(name)
            return real(*args, **kwargs)

        return call

    for name in STEPS:
        monkeypatch.setattr(files.os, name, counted(name))
    monkeypatch.setattr(Path, "unlink", lambda self: os.unlink(self))
    return done


def test_a_crash_at_any_step_loses_nothing_and_mixes_nothing(path, monkeypatch, numbered):
    seen = set()
    for step in range(40):
        fg.save(numbered(1.0), path)
        with monkeypatch.context() as patch:
            done = crash_at(patch, step, Crash())
            try:
                fg.save(numbered(2.0), path)
                finished = True
            except Crash:
                finished = False
        net = fg.load(path)
        assert float(net.columns.bias[1]) == float(net.columns.weight[0])
        assert bias(path) in ((2.0,) if finished else (1.0, 2.0))
        seen.add((bias(path), finished))
        if finished and len(done) < step:
            break
    assert seen == {(1.0, False), (2.0, False), (2.0, True)}
    assert len(done) == {".json": 11, ".safetensors": 5}[path.suffix]


def test_the_first_save_crashing_leaves_no_half_network(path, monkeypatch, numbered):
    for step in range(11):
        with monkeypatch.context() as patch:
            crash_at(patch, step, Crash())
            with suppress(Crash):
                fg.save(numbered(2.0), path)
        if path.exists():
            assert bias(path) == 2.0
            break
    else:
        pytest.fail("never written")


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("call", [0, 1])
def test_an_error_of_the_disk_is_clear_and_leaves_nothing_behind(path, step, call, monkeypatch, numbered):
    if path.suffix == ".safetensors" and call:
        call = 0
    fg.save(numbered(1.0), path)
    before = names(path.parent)
    real, calls = getattr(os, step), []

    def full(*args, **kwargs):
        if args and isinstance(args[0], Path) and args[0] == path.parent:
            return real(*args, **kwargs)  # the folder, to be flushed
        calls.append(args)
        if len(calls) == call * (2 if step == "fsync" else 1) + 1:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(FileError, match=rf"{path.name} cannot be written: No space left on device"):
        fg.save(numbered(2.0), path)
    monkeypatch.undo()
    assert names(path.parent) == before
    assert bias(path) == 1.0


def test_an_error_after_the_last_rename_keeps_the_new_network(path, monkeypatch, numbered):
    fg.save(numbered(1.0), path)
    real, renamed = os.replace, []

    def replace(source, target):
        real(source, target)
        renamed.append(Path(target))

    def flush(folder):
        if path in renamed:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(files.os, "replace", replace)
    monkeypatch.setattr(files, "flush_folder", flush)
    with pytest.raises(FileError, match="Input/output error"):
        fg.save(numbered(2.0), path)
    monkeypatch.undo()
    assert bias(path) == 2.0


def test_an_interrupt_leaves_nothing_behind(path, monkeypatch, numbered):
    fg.save(numbered(1.0), path)
    before = names(path.parent)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fg.save(numbered(2.0), path)
    monkeypatch.undo()
    assert names(path.parent) == before
    assert bias(path) == 1.0


def test_a_folder_that_cannot_be_flushed_is_no_error(path, monkeypatch, numbered):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    fg.save(numbered(1.0), path)
    assert bias(path) == 1.0


def written_for_ever(path, numbered, said):
    """What a forked writer does until it is killed."""
    try:
        for k in range(10**6):
            fg.save(numbered(float(k)), path)
            os.write(said, b"%d\n" % k)
    finally:
        os._exit(1)


@POSIX
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_writer_that_is_killed_leaves_a_whole_network(path, numbered):
    for wait in (1, 7, 20):
        heard, said = os.pipe()
        writer = os.fork()
        if not writer:
            written_for_ever(path, numbered, said)
        os.close(said)
        with os.fdopen(heard) as lines:
            said = [int(lines.readline()) for _ in range(wait)][-1]
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
        c = fg.load(path).columns
        assert c.bias[1] == c.weight[0] >= said


# ---- what is left in the folder -----------------------------------------------------------------------------


def test_old_weights_go_and_no_other_file_does(tmp_path, numbered):
    path = tmp_path / "net.json"
    others = ["net.notes.txt", "net.safetensors", "net.0123456789abcdef.safetensors", "nets.json"]
    for name in others:
        (tmp_path / name).write_text("mine")
    for value in (1.0, 2.0, 2.0, 3.0):
        fg.save(numbered(value), path)
        assert len(names(tmp_path)) == len(others) + 2
    assert all((tmp_path / name).read_text() == "mine" for name in others)


def test_weights_that_another_json_may_name_stay(tmp_path, numbered):
    fg.save(numbered(1.0), tmp_path / "a.json")
    copy = tmp_path / "copy.json"
    copy.write_bytes((tmp_path / "a.json").read_bytes())
    fg.save(numbered(2.0), copy)
    assert (bias(tmp_path / "a.json"), bias(copy)) == (1.0, 2.0)


@pytest.mark.parametrize("name", ["../net.0123456789abcdef.safetensors", "net.txt", "net.json", 3])
def test_a_file_that_names_another_does_not_get_it_removed(tmp_path, name, numbered):
    folder = tmp_path / "in"
    folder.mkdir()
    for victim in (tmp_path / "net.0123456789abcdef.safetensors", folder / "net.txt"):
        victim.write_text("mine")
    path = folder / "net.json"
    shown = f'"{name}"' if isinstance(name, str) else name
    path.write_text(f'{{\n"weights": {{"file":{shown}}},\n"sha256": "{"0" * 64}"\n}}\n')
    fg.save(numbered(1.0), path)
    assert (tmp_path / "net.0123456789abcdef.safetensors").read_text() == (folder / "net.txt").read_text() == "mine"


def test_any_file_may_be_overwritten(path, numbered):
    for content in (b"", b"not json", b'\n"weights": {[},\n"sha256": "' + b"0" * 64 + b'"\n}\n'):
        path.write_bytes(content)
        fg.save(numbered(1.0), path)
        assert bias(path) == 1.0


def test_the_pair_moves_together(tmp_path, numbered):
    fg.save(numbered(1.0), tmp_path / "net.json")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in names(tmp_path):
        if name != "elsewhere":
            (tmp_path / name).rename(elsewhere / name)
    (elsewhere / "net.json").rename(elsewhere / "renamed.json")
    assert bias(elsewhere / "renamed.json") == 1.0


def test_readers_beside_a_writer_always_find_a_whole_network(path, numbered):
    fg.save(numbered(0.0), path)
    stop, problems = [], []

    def read():
        while not stop:
            try:
                c = fg.load(path).columns
                if c.bias[1] != c.weight[0]:
                    problems.append("mixed")
            except Exception as error:
                problems.append(error)

    threads = [Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for value in range(60):
        fg.save(numbered(float(value)), path)
    stop.append(True)
    for thread in threads:
        thread.join()
    assert not problems
    assert len(names(path.parent)) == (2 if path.suffix == ".json" else 1)


# ---- permissions and links ----------------------------------------------------------------------------------


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()}


@POSIX
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_what_the_umask_leaves(tmp_path, mask, numbered):
    before = os.umask(mask)
    try:
        fg.save(numbered(1.0), tmp_path / "net.json")
    finally:
        os.umask(before)
    assert modes(tmp_path) == {0o666 & ~mask}


@POSIX
def test_a_file_that_is_overwritten_keeps_its_permissions(path, numbered):
    fg.save(numbered(1.0), path)
    path.chmod(0o640)
    fg.save(numbered(2.0), path)
    assert modes(path.parent) == {0o640}


@POSIX
def test_a_file_that_is_read_only_is_not_overwritten(path, monkeypatch, numbered):
    fg.save(numbered(1.0), path)
    before = names(path.parent)
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(FileError, match="it is read-only"):
        fg.save(numbered(2.0), path)
    assert names(path.parent) == before
    assert bias(path) == 1.0


@POSIX
def test_a_link_is_followed_and_stays(path, numbered):
    real = path.parent / "real"
    real.mkdir()
    path.symlink_to(real / path.name)
    for value in (1.0, 2.0):
        fg.save(numbered(value), path)
        assert path.is_symlink()
        assert bias(path) == bias(real / path.name) == value
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(FileError, match="cannot be read"):
        fg.load(path)
