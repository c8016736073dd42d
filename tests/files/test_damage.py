"""Every truncation, every flipped byte, every swapped file is refused with a FileError that names the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import flowgrad as fg
from flowgrad import format as contract
from flowgrad.errors import FileError


def small(bias: float = 0.25) -> fg.Network:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 0.5}, bias=bias)
    return net


def weight_file(path: Path) -> Path:
    (found,) = [f for f in path.parent.iterdir() if f.name.startswith(f"{path.stem}.") and f != path]
    return found


# ---- bytes --------------------------------------------------------------------------------------------------


def victims(path: Path) -> list[Path]:
    return [path] if path.suffix == ".safetensors" else [path, weight_file(path)]


def test_every_truncation_is_refused(path):
    fg.save(small(), path)
    for victim in victims(path):
        whole = victim.read_bytes()
        for length in range(len(whole)):
            victim.write_bytes(whole[:length])
            with pytest.raises(FileError, match=r"net\."):
                fg.load(path)
        victim.write_bytes(whole)
    fg.load(path)


def test_every_flipped_byte_is_refused(path, request):
    soak = request.config.getoption("--soak")
    fg.save(small(), path)
    for victim in victims(path):
        whole = victim.read_bytes()
        for place in range(0, len(whole), 1 if soak else 3):
            for flip in range(1, 256) if soak else (0x01, 0x20):  # 0x20: the case of a letter
                damaged = bytearray(whole)
                damaged[place] ^= flip
                victim.write_bytes(damaged)
                with pytest.raises(FileError, match=r"net\."):
                    fg.load(path)
        victim.write_bytes(whole)
    fg.load(path)


def test_every_byte_too_many_is_refused(path):
    fg.save(small(), path)
    for victim in victims(path):
        whole = victim.read_bytes()
        for more in (b"\n", b" ", b"\0", whole):
            for damaged in (whole + more, more + whole):
                victim.write_bytes(damaged)
                with pytest.raises(FileError):
                    fg.load(path)
        victim.write_bytes(whole)


def test_line_ends_of_another_system_are_refused(tmp_path):
    path = tmp_path / "net.json"
    fg.save(small(), path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(FileError, match="truncated, altered"):
        fg.load(path)


# ---- files --------------------------------------------------------------------------------------------------


def test_missing_files_folders_and_pipes(path):
    with pytest.raises(FileError, match=f"no file .*{path.name}"):
        fg.load(path)
    with pytest.raises(FileError, match="no file"):
        fg.load(path / "below.json")
    path.mkdir()
    with pytest.raises(FileError, match="is a folder"):
        fg.load(path)
    with pytest.raises(FileError, match="is a folder"):
        fg.save(small(), path)
    path.rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(path)
        with pytest.raises(FileError, match="no regular file"):
            fg.load(path)


def test_an_unreadable_file(path, monkeypatch):
    def refused(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    fg.save(small(), path)
    monkeypatch.setattr(Path, "read_bytes", refused)  # root may read everything: no chmod stops it
    with pytest.raises(FileError, match=r"cannot be read: Permission denied"):
        fg.load(path)


def test_a_file_larger_than_the_limit(path, monkeypatch):
    fg.save(small(), path)
    monkeypatch.setattr(contract, "LIMIT", 100)
    with pytest.raises(FileError, match="at most 100 are read"):
        fg.load(path)


def test_weights_that_are_missing_swapped_or_of_another_network(tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    fg.save(small(), a)
    fg.save(small(bias=0.5), b)
    mine, other = weight_file(a), weight_file(b)
    kept = mine.read_bytes()
    mine.write_bytes(other.read_bytes())
    with pytest.raises(FileError, match=r"of another network.*SHA-256.*a\.json"):
        fg.load(a)
    mine.unlink()
    with pytest.raises(FileError, match=f"no file .*{mine.name}"):
        fg.load(a)
    mine.write_bytes(kept)
    fg.load(a)
    with pytest.raises(FileError, match=r"holds weights alone: load the \.json"):
        fg.load(mine)
