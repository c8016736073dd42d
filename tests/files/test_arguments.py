"""What save and load take: paths, formats, networks whose every number a file can keep."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

import flowgrad as fg
from flowgrad import files
from flowgrad.errors import ConfigError, DataError, FileError, UnknownNameError
from flowgrad.format import Format


def bias_of(net: fg.Network) -> float:
    return float(net.columns.bias[1])


def test_a_folder_that_is_not_there(path, numbered):
    with pytest.raises(FileError, match="cannot be written: No such file or directory"):
        fg.save(numbered(1.0), path.parent / "no" / path.name)
    with pytest.raises(FileError, match="cannot be written"):
        fg.save(numbered(1.0), path.parent / ("x" * 250 + path.suffix))
    assert not list(path.parent.iterdir())


def test_paths_that_are_none(tmp_path, numbered):
    for act in (lambda p: fg.save(numbered(1.0), p, "json"), lambda p: fg.load(p, "json")):
        for wrong in (3, None, ["a.json"]):
            with pytest.raises(DataError, match="give text or a Path"):
                act(wrong)
        for wrong in ("", "a\0b.json", str(tmp_path / "a\0b.json")):
            with pytest.raises(FileError):
                act(wrong)


def test_formats_by_suffix_and_name(tmp_path, numbered):
    net = numbered(1.0)
    with pytest.raises(UnknownNameError, match=r"fits 'net\.jsn', whose suffix is '\.jsn': did you mean '\.json'\?"):
        fg.save(net, tmp_path / "net.jsn")
    with pytest.raises(UnknownNameError, match=r"no format to .* fits 'net', which has no suffix"):
        fg.load(tmp_path / "net")
    with pytest.raises(UnknownNameError, match="unknown format 'jsn': did you mean 'json'"):
        fg.save(net, tmp_path / "net.json", format="jsn")
    with pytest.raises(ConfigError, match="give the name of a format"):
        fg.load(tmp_path / "net.json", format=3)  # type: ignore[arg-type]  # wrong on purpose
    fg.save(net, tmp_path / "net.json", format="safetensors")
    with pytest.raises(FileError, match="does not end in its SHA-256"):
        fg.load(tmp_path / "net.json")
    assert bias_of(fg.load(tmp_path / "net.json", format="safetensors")) == 1.0


def test_only_a_network_is_saved(path, numbered):
    program = fg.compile(numbered(1.0), executor="python")
    with pytest.raises(DataError, match=r"wants a Network, not a Program: give program\.network\(\)"):
        fg.save(program, path)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(DataError, match="wants a Network, not a dict"):
        fg.save({}, path)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(fg.errors.GraphError, match="the graph is empty"):
        fg.save(fg.Network(), path)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("seed", [-1, 1.5, None, True])
def test_a_seed_that_is_none_is_refused(path, seed):
    c = fg.topologies.layered([1, 1]).columns
    net = fg.Network.from_columns(dataclasses.replace(c, weight=c.weights, seed=seed))
    with pytest.raises(fg.errors.GraphError, match=f"seed {seed}"):
        fg.save(net, path)


def test_without_the_library_the_error_names_the_extra(path, monkeypatch, numbered):
    fg.save(numbered(1.0), path)
    for name in [m for m in sys.modules if m.partition(".")[0] == "safetensors"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for act in (lambda: fg.save(numbered(1.0), path), lambda: fg.load(path)):
        with pytest.raises(fg.errors.MissingDependencyError, match=r"pip install 'flowgrad\[safetensors\]'"):
            act()


def test_a_suffix_that_is_the_name_of_a_format_means_it(tmp_path, monkeypatch, numbered):
    rival = Format("rival", (".json", ".riv", ".long.json"), "claims .json too", read=lambda _: numbered(9.0))
    other = dataclasses.replace(rival, name="other")
    known = {"rival": rival, "other": other, "json": files.find("formats", "json")}
    monkeypatch.setattr(files, "names", lambda kind: tuple(known))
    monkeypatch.setattr(files, "find", lambda kind, name: known[name])
    fg.save(numbered(1.0), tmp_path / "a.b.json")
    assert bias_of(fg.load(tmp_path / "a.b.json")) == 1.0
    with pytest.raises(ConfigError, match=r"'a\.riv' may be other, rival: say which by format="):
        fg.load(tmp_path / "a.riv")
    with pytest.raises(ConfigError, match="may be other, rival"):
        fg.load(tmp_path / "a.long.json")
    with pytest.raises(UnknownNameError, match=r"no format to write fits .*, whose suffix is '\.riv'"):
        fg.save(numbered(1.0), tmp_path / "a.riv")
    with pytest.raises(ConfigError, match="format 'rival' cannot write: claims"):
        fg.save(numbered(1.0), tmp_path / "a.riv", format="rival")
    del known["other"]
    assert bias_of(fg.load(tmp_path / "a.riv")) == 9.0


@pytest.mark.parametrize(
    ("column", "said"), [("weight", "edge 'x' → 'y'"), ("bias", "node 'y'"), ("response", "node 'y'")]
)
def test_a_number_that_is_none_is_refused(path, column, said, numbered):
    c = numbered(1.0).columns
    wrong = getattr(c, column).copy()
    wrong[-1] = np.inf
    with pytest.raises(fg.errors.GraphError, match=f"{column} inf at {said}: must be finite"):
        fg.save(fg.Network.from_columns(dataclasses.replace(c, **{column: wrong})), path)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_program_that_diverged_gives_no_network(executor, value, numbered):
    program = fg.compile(numbered(1.0), executor=executor)
    for slot, said in ((0, "weight .* at edge 'x' → 'y'"), (1, "bias .* at node 'y'")):
        theta = program.theta.copy()
        theta[slot] = value
        with pytest.raises(fg.errors.GraphError, match=said):
            program.network(theta)
