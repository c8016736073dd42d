"""Files under gzip: every format of text there and back, damage and bombs refused in words."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

import flowgrad as fg
from flowgrad.format import CLAIM
from flowgrad.registry import find, names
from flowgrad.testing.formats import NAMINGS, Trial, examples, small

FORMATS = {name: find("formats", name) for name in names("formats")}
PACKS = [name for name, f in FORMATS.items() if f.packs and f.read is not None]


@pytest.mark.parametrize("name", PACKS)
def test_a_file_under_gzip_is_the_file(name: str, tmp_path: Path) -> None:
    for suffix, data in examples(FORMATS[name], tmp_path).items():
        plain, packed = tmp_path / f"a{suffix or '.txt'}", tmp_path / f"a{suffix or '.txt'}.gz"
        plain.write_bytes(data)
        packed.write_bytes(gzip.compress(data))
        by = None if suffix else name
        first, second = fg.load(plain, by), fg.load(packed, by)
        assert (second.nodes, second.columns.ends) == (first.nodes, first.columns.ends)
        assert second.columns.weights.tolist() == first.columns.weights.tolist()


@pytest.mark.parametrize("name", [name for name in PACKS if FORMATS[name].write is not None])
def test_what_is_written_under_gzip_is_read_and_the_same_each_time(name: str, tmp_path: Path) -> None:
    for suffix in FORMATS[name].suffixes or (".txt",):
        net = small(NAMINGS[Trial(FORMATS[name], suffix, tmp_path).naming[0]])
        plain, packed = tmp_path / f"b{suffix}", tmp_path / f"b{suffix}.gz"
        fg.save(net, plain, name)
        fg.save(net, packed, name)
        written = packed.read_bytes()
        assert gzip.decompress(written) == plain.read_bytes()
        fg.save(net, packed, name)
        assert packed.read_bytes() == written
        assert fg.load(packed, name).columns.ends == fg.load(plain, name).columns.ends


def test_the_suffix_in_front_of_gz_is_the_format_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "NET.CSV.GZ").write_bytes(gzip.compress(b"source,target\na,b\n"))
    assert fg.load(tmp_path / "NET.CSV.GZ").nodes == ("a", "b")
    with pytest.raises(fg.FlowgradError, match=r"no format to read fits .*net\.foo"):
        fg.load(tmp_path / "net.foo.gz")


@pytest.mark.parametrize("name", [name for name, f in FORMATS.items() if not f.packs])
def test_formats_that_are_never_under_gzip_say_so(name: str, tmp_path: Path) -> None:
    f = FORMATS[name]
    path = tmp_path / f"net{(f.suffixes or ('.npz',))[0]}.gz"
    if f.read is not None:
        with pytest.raises(fg.FlowgradError, match=r"never under gzip: leave out \.gz"):
            fg.load(path, name)
    if f.write is not None:
        with pytest.raises(fg.FlowgradError, match=r"never under gzip: leave out \.gz"):
            fg.save(small(NAMINGS["text"]), path, name)
    assert not path.exists()


DATA = gzip.compress(b"source,target\n" + b"".join(b"a%d,b\n" % k for k in range(500)), mtime=0)
DAMAGE = {
    "cut off": (DATA[:-9], "net.csv.gz is no whole gzip file: it is cut off"),
    "half": (DATA[: len(DATA) // 2], "no whole gzip file"),
    "the sum": (DATA[:-6] + b"\0" + DATA[-5:], "no whole gzip file: crc check failed"),
    "the middle": (DATA[:40] + bytes(20) + DATA[60:], "no whole gzip file"),
    "no gzip": (b"source,target\na,b\n", "no whole gzip file: not a gzipped file"),
    "nothing": (b"", "is empty"),
    "rest": (DATA + b"rest", "no whole gzip file: not a gzipped file"),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", ["edgelist", "kpnn"])  # the one reads in pieces, the other all at once
def test_damage_under_gzip_is_refused_in_words(kind: str, name: str, tmp_path: Path) -> None:
    data, words = DAMAGE[kind]
    (tmp_path / "net.csv.gz").write_bytes(data)
    with pytest.raises(fg.errors.FileError, match=words) as said:
        fg.load(tmp_path / "net.csv.gz", name)
    assert str(said.value).count("net.csv.gz") == 1


def test_gzip_without_its_suffix_is_said(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_bytes(DATA)
    with pytest.raises(fg.errors.FileError, match=r"is under gzip: call it by a name that ends in \.gz"):
        fg.load(tmp_path / "net.csv")


@pytest.mark.parametrize("name", ["edgelist", "kpnn", "graphml"])
def test_a_bomb_is_refused_before_it_fills_the_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of gzip for a gigabyte of blanks: here a thousandth of both, with the bound as much lower."""
    monkeypatch.setattr("flowgrad.format.CLAIM", CLAIM >> 14)
    (tmp_path / "net.csv.gz").write_bytes(gzip.compress(b" " * (CLAIM >> 10)))
    with pytest.raises(fg.errors.FileError, match=re.escape("unpack it first")):
        fg.load(tmp_path / "net.csv.gz", name)
