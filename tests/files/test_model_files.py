"""Files of models that are cut, flipped, made by hand or something else: refused by name."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import FileError, FlowgradError
from flowgrad.scaling import Scaling

pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'flowgrad[safetensors]'")


def network(outputs: int) -> fg.Network:
    return fg.topologies.layered([3, 5, outputs], output_activation="identity", seed=1)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "demo.fgm"
    scaling = Scaling([12.0, -1.0, 900.0], [5.0, 0.01, 300.0])
    classes = ("ann", "bob, the 2nd", "Ωmega")
    model = fg.Model(network(3), ("mean radius", "größe", "x3"), label="who", classes=classes, scaling=scaling)
    model.save(path)
    return path.read_bytes()


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(FileError) as raised:
        fg.load_model(path)
    assert path.name in str(raised.value)
    return str(raised.value)


def test_every_prefix_is_refused_by_name(tmp_path: Path, written: bytes) -> None:
    header = 8 + int.from_bytes(written[:8], "little")
    for end in sorted({*range(17), header - 1, header, header + 1, *range(0, len(written), 61), len(written) - 1}):
        refused(tmp_path / "cut.fgm", written[:end])
    refused(tmp_path / "longer.fgm", written + b"\0")


def test_every_flipped_byte_is_refused(tmp_path: Path, written: bytes) -> None:
    rng = np.random.default_rng(0)
    places = {*range(24), *rng.integers(0, len(written), 200).tolist(), len(written) - 1}
    for place in sorted(places):
        data = bytearray(written)
        data[place] ^= 1 << int(rng.integers(0, 8))
        refused(tmp_path / "flipped.fgm", bytes(data))


def resealed(written: bytes, change: Any) -> bytes:
    """The file with another document, and the digest that goes with it."""
    from flowgrad.formats._sealed import seal, unseal

    document, tensors = unseal(written, "x")
    change(document)
    return seal(document, tensors)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(version=2),
        lambda d: d.update(more=1),
        lambda d: d.update(model=[1]),
        lambda d: d.update(network={}),
        lambda d: d["model"].pop("roles"),
        lambda d: d["model"]["roles"].update(classes=["ann"]),
        lambda d: d["model"]["roles"].update(inputs=["a", "b"]),
        lambda d: d["model"]["roles"].update(inputs=[1, 2, 3]),
        lambda d: d["model"]["roles"].update(extra=[]),
        lambda d: d["model"].update(loss="no such loss"),
        lambda d: d["model"].update(loss=[]),
        lambda d: d["model"].update(standardised={"mean": [1.0]}),
        lambda d: d["model"].update(standardised={"mean": [1.0] * 3, "scale": [0.0] * 3}),
        lambda d: d["model"].update(standardised={"mean": [[1.0]] * 3, "scale": "x"}),
        lambda d: d["model"].update(standardised=[1]),
    ],
)
def test_what_no_writer_made_is_refused_though_its_digest_is_right(tmp_path: Path, written: bytes, change: Any) -> None:
    refused(tmp_path / "made.fgm", resealed(written, change))


def test_a_file_that_claims_gigabytes_is_refused(tmp_path: Path, written: bytes) -> None:
    refused(tmp_path / "header.fgm", (2**40).to_bytes(8, "little") + written[8:])
    length = int.from_bytes(written[:8], "little")
    header = written[8 : 8 + length]
    place = header.index(b'"data_offsets":[')
    claimed = header[:place] + header[place:].replace(b'"shape":[', b'"shape":[99999999999,', 1)
    refused(tmp_path / "shape.fgm", len(claimed).to_bytes(8, "little") + claimed + written[8 + length :])

    def many(document: Any) -> None:
        document["network"]["ids"] = {"range": 10**12}

    refused(tmp_path / "ids.fgm", resealed(written, many))


def test_a_pickle_is_no_model(tmp_path: Path) -> None:
    refused(tmp_path / "evil.fgm", pickle.dumps(print))


def test_a_file_of_another_name_says_what_it_is(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(written)
    with pytest.raises(FlowgradError, match=r"model\.safetensors"):
        fg.load(tmp_path / "model.safetensors")
    fg.save(network(1), tmp_path / "net.safetensors")
    refused(tmp_path / "net.fgm", (tmp_path / "net.safetensors").read_bytes())
