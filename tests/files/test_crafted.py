"""What no writer writes, under a digest that is right: refused by name, by nothing but flowgrad's own errors."""

from __future__ import annotations

import json
import struct
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import flowgrad as fg
from flowgrad.errors import FileError, FlowgradError, GraphError


def seal(document: dict) -> bytes:
    """A JSON file that ends in its right digest, whatever it says: what anybody can write."""
    body = b"{\n" + b"".join(f"{json.dumps(k)}: {json.dumps(v)},\n".encode() for k, v in document.items())
    return body + b'"sha256": "%s"\n}\n' % sha256(body).hexdigest().encode()


def seal_one(document: object, tensors: dict) -> bytes:
    """A one-file network with its right digest, whatever it says."""
    text = json.dumps(document, separators=(",", ":")).removesuffix("}") + ',"sha256":"' + "0" * 64 + '"}'
    blank = save(tensors, metadata={"flowgrad": text})
    zeros, digest = (b'\\"sha256\\":\\"%s\\"}"' % d for d in (b"0" * 64, sha256(blank).hexdigest().encode()))
    return blank.replace(zeros, digest)


@pytest.mark.parametrize("where", ["../secret", "/etc/passwd", "sub/x", "..", ".", "", "C:x", "a\\b", "x\0y"])
def test_a_path_in_a_file_is_not_followed(tmp_path, where, numbered):
    path = tmp_path / "net.json"
    fg.save(numbered(1.0), path)
    document = json.loads(path.read_text())
    del document["sha256"]
    document["weights"]["file"] = where
    path.write_bytes(seal(document))
    with pytest.raises(FileError, match="no path is followed"):
        fg.load(path)


@pytest.mark.parametrize("bomb", [b"[" * 200_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000])
def test_depth_is_bounded(path, bomb):
    if path.suffix == ".json":
        body = b'{\n"format": ' + bomb + b",\n"
        path.write_bytes(body + b'"sha256": "%s"\n}\n' % sha256(body).hexdigest().encode())
    else:
        path.write_bytes(struct.pack("<Q", len(bomb)) + bomb)
    with pytest.raises(FileError, match=r"nested too deep|no valid JSON"):
        fg.load(path)
    if path.suffix == ".safetensors":
        text = bomb.decode()
        path.write_bytes(save({"a": np.zeros(1)}, metadata={"flowgrad": text}))
        with pytest.raises(FileError, match=r"nested too deep|no valid JSON"):
            fg.load(path)


@pytest.mark.parametrize("length", [0, 1, 2**20, 99_999_999, 100_000_001, 2**63, 2**64 - 1])
def test_a_header_length_is_bounded(tmp_path, length):
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}      " * 4)
    with pytest.raises(FileError, match="no safetensors file, or a truncated one"):
        fg.load(path)


def test_a_safetensors_file_of_somebody_else(tmp_path):
    path = tmp_path / "model.safetensors"
    for metadata in (None, {"format": "pt"}, {"flowgrad": "what"}, {"flowgrad": "[]"}):
        path.write_bytes(save({"layer.weight": np.zeros((2, 2))}, metadata=metadata))
        with pytest.raises(FileError):
            fg.load(path)


DOCUMENT = {
    "format": "flowgrad network",
    "version": 1,
    "seed": 0,
    "ids": ["x", "h", "y"],
    "inputs": [0],
    "outputs": [2],
    "activations": ["tanh"],
    "activation": [-1, 0, 0],
    "aggregations": ["sum"],
    "aggregation": [-1, 0, 0],
    "frozen_nodes": [],
    "source": [0, 1],
    "target": [1, 2],
    "frozen_edges": [],
    "params": [],
    "param": None,
    "part": None,
    "place": None,
    "node_extra": [],
    "edge_extra": [],
    "graph_extra": [],
}


TENSORS = {"weight": np.array([0.5, 2.0]), "bias": np.zeros(3), "response": np.ones(3)}


UNION = {"part": [0, 0, 1], "place": [0, 1, 2], "outputs": [1, 2], "source": [0, 0]}


def crafted(path: Path, changes: dict, tensors: dict) -> Path:
    document = {k: v for k, v in {**DOCUMENT, **changes}.items() if v is not ...}
    arrays = {k: v for k, v in {**TENSORS, **tensors}.items() if v is not ...}
    if path.suffix == ".safetensors":
        path.write_bytes(seal_one(document, arrays))
    else:
        weights = save(arrays, metadata={"flowgrad": "flowgrad weights 1"})
        (path.parent / "w").write_bytes(weights)
        named = {"file": "w", "bytes": len(weights), "sha256": sha256(weights).hexdigest()}
        path.write_bytes(seal({**document, "weights": named}))
    return path


@pytest.mark.parametrize(
    ("changes", "tensors"),
    [
        ({}, {}),
        ({"source": {"tensor": "s"}}, {"s": np.array([0, 1], np.int32)}),
        ({"ids": {"range": 3}}, {}),
        ({"params": ["w"], "param": [-1, 0]}, {}),
        (UNION, {}),
    ],
)
def test_what_is_right_is_read(path, changes, tensors):
    assert len(fg.load(crafted(path, changes, tensors)).nodes) == 3


WRONG = [
    ({"format": "something"}, "no network of flowgrad's"),
    ({"version": 2}, "of version 2, this flowgrad reads 1"),
    ({"seed": ...}, "the key 'seed' is missing"),
    ({"code": "import os"}, "the key 'code' is unknown"),
    ({"seed": -1}, "seed is -1"),
    ({"seed": 1.5}, "seed is 1.5"),
    ({"ids": ["x", "h"]}, "ids has 2 entries for 3 nodes"),
    ({"ids": ["x", "h", "x"]}, "ids holds a value twice"),
    ({"ids": [1, 1.0, "y"]}, "ids holds a value twice"),
    ({"ids": ["x", ["h"], "y"]}, "ids: .*unhashable"),
    ({"ids": ["x", {"tuple": [["h"]]}, "y"]}, "ids: .*unhashable"),
    ({"ids": ["x", {"tuple": 3}, "y"]}, "no value of type 'tuple'"),
    ({"ids": ["x", {"os.system": "ls"}, "y"]}, "no value of type 'os.system'"),
    ({"ids": ["x", {"bytes": "0"}, "y"]}, "no value of type 'bytes'"),
    ({"ids": ["x", {"np.int8": 300}, "y"]}, "no value of type 'np.int8'"),
    ({"ids": ["x", {"np.int8": "3"}, "y"]}, "no value of type 'np.int8'"),
    ({"ids": ["x", {"float": "1.0"}, "y"]}, "no value of type 'float'"),
    ({"ids": ["x", {"text": "ff"}, "y"]}, "no value of type 'text'"),
    ({"ids": ["x", {}, "y"]}, "a value of 0 keys"),
    ({"ids": {"range": 10**12}}, "a range of 1000000000000, and there are 3"),
    ({"ids": {"range": True}}, "a range of True"),
    ({"ids": "xhy"}, "ids is no array"),
    ({"inputs": [3]}, r"inputs holds 3: must be 0 … 2"),
    ({"inputs": [-1]}, r"inputs holds -1"),
    ({"inputs": [0.0]}, "inputs must be an array of integers"),
    ({"inputs": [False]}, "inputs must be an array of integers"),
    ({"inputs": [2**70]}, "inputs holds an integer beyond 64 bits"),
    ({"inputs": [0, 0]}, "inputs name a node twice"),
    ({"outputs": [2, 2]}, "outputs name a node twice"),
    ({"inputs": {"tensor": "missing"}}, "the tensor 'missing' is missing"),
    ({"inputs": {"tensor": "weight"}}, "the tensor 'weight' is of the wrong type or shape"),
    ({"inputs": {"tensor": []}}, "inputs must be an array of integers"),
    ({"activations": [3]}, "activations must be names"),
    ({"activations": "tanh"}, "activations is no array"),
    ({"activation": [0, 0, 0]}, "activation must be −1 at the inputs and nowhere else"),
    ({"activation": [-1, -1, 0]}, "activation must be −1 at the inputs"),
    ({"activation": [-1, 0, 1]}, "activation holds 1"),
    ({"activation": [-1, 0]}, "activation has 2 entries"),
    ({"source": [0]}, "source has 1 entries: 2 are wanted"),
    ({"target": [1, 3]}, "target holds 3"),
    ({"frozen_nodes": [9]}, "frozen_nodes holds 9"),
    ({"frozen_edges": [2]}, "frozen_edges holds 2"),
    ({"params": ["w"], "param": [0, 1]}, "param holds 1"),
    ({"params": ["w", "w"], "param": [0, 1]}, "params holds a value twice"),
    ({"part": [0, 0, 0]}, "part and place go together"),
    ({**UNION, "place": [0, 1]}, "place has 2 entries"),
    ({**UNION, "place": [0, 2, 1]}, "place does not order"),
    ({**UNION, "place": [0, 1, 1]}, "place does not order"),
    ({**UNION, "source": [0, 1], "place": [0, 2, 1], "part": [0, 0, 0]}, "place does not order"),
    ({**UNION, "part": [0, 0, 2**30]}, "part holds 1073741824"),
    ({"node_extra": {}}, "node_extra is no array"),
    ({"node_extra": [3]}, "must hold objects of name, rows and values"),
    ({"node_extra": [{"name": "a", "rows": None, "values": [1]}]}, "1 values of 'a': 3 are wanted"),
    ({"node_extra": [{"name": "a", "rows": [7], "values": [1]}]}, "node_extra holds 7"),
    ({"node_extra": [{"name": "a", "rows": [1], "values": []}]}, "1 entries: 0 are wanted"),
    ({"node_extra": [{"name": [], "rows": [], "values": []}]}, "node_extra: .*unhashable"),
    ({"graph_extra": [[1]]}, "must hold pairs"),
    ({"graph_extra": [["a", 1], ["a", 2]]}, "graph_extra holds a value twice"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG, ids=[said[:30] for _, said in WRONG])
def test_what_is_wrong_is_refused_by_name(path, changes, said):
    with pytest.raises(FileError, match=said):
        fg.load(crafted(path, changes, {}))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"weight": ...}, "the tensor 'weight' is missing"),
        ({"more": np.zeros(1)}, "the tensor 'more' is unknown"),
        ({"weight": np.zeros((2, 1))}, "'weight' is of the wrong type or shape"),
        ({"weight": np.zeros(2, np.int32)}, "'weight' is of the wrong type or shape"),
        ({"weight": np.array([1, np.nan])}, "weight holds nan: must be finite"),
        ({"bias": np.array([0, np.inf, 0])}, "bias holds inf: must be finite"),
        ({"response": np.ones(2)}, "response has 2 entries for 3 nodes"),
        ({"bias": np.zeros(3, np.complex64)}, "tensor 'bias' of .* is none of F64"),
        ({"weight": np.zeros(2, np.float32)}, "tensor 'weight' of .* is none of F64"),
    ],
)
def test_tensors_that_are_wrong(path, tensors, said):
    with pytest.raises(FileError, match=said):
        fg.load(crafted(path, {}, tensors))


def test_graphs_that_are_no_networks(path):
    with pytest.raises(GraphError, match="self-loop"):
        fg.load(crafted(path, {"source": [0, 2]}, {}))
    with pytest.raises(GraphError, match="'h' → 'y' is given twice"):
        fg.load(crafted(path, {"source": [1, 1], "target": [2, 2]}, {}))
    with pytest.raises(fg.errors.CycleError, match=r"h → y → h|y → h → y"):
        fg.load(crafted(path, {"source": [1, 2], "target": [2, 1]}, {}))
    with pytest.raises(GraphError, match="two weights"):
        fg.load(crafted(path, {"params": ["w"], "param": [0, 0]}, {}))


def test_a_key_twice_and_numbers_that_json_does_not_have(tmp_path):
    path = tmp_path / "net.json"
    for line, said in (
        ('"seed": 0,\n"seed": 1', "an object has a key twice"),
        ('"seed": NaN', "NaN is no JSON number"),
        ('"seed": ' + "1" * 5000, "no valid JSON"),
        ('"seed": "\\', "no valid JSON"),
    ):
        body = f"{{\n{line},\n".encode()
        path.write_bytes(body + b'"sha256": "%s"\n}\n' % sha256(body).hexdigest().encode())
        with pytest.raises(FileError, match=said):
            fg.load(path)
    body = b'{\n"seed": "\xff",\n'
    path.write_bytes(body + b'"sha256": "%s"\n}\n' % sha256(body).hexdigest().encode())
    with pytest.raises(FileError, match="no valid JSON"):
        fg.load(path)


# ---- fuzz ---------------------------------------------------------------------------------------------------

JUNK = (None, True, 0, -1, 3, 2**70, 1.5, "x", "\ud800", [], [[]], {}, {"tensor": "weight"}, {"range": 2}, [0, 1, 2])


def mutate(value: object, rng: np.random.Generator, depth: int = 0) -> object:
    """The value with one thing in it put wrong."""
    if depth and rng.random() < 0.3:
        return JUNK[rng.integers(len(JUNK))]
    if isinstance(value, dict) and value:
        key = list(value)[rng.integers(len(value))]
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutate(value[key], rng, depth + 1)}
    if isinstance(value, list) and value:
        place = int(rng.integers(len(value)))
        act = rng.random()
        if act < 0.2:
            return value[:place] + value[place + 1 :]
        if act < 0.4:
            return [*value, value[place]]
        return [*value[:place], mutate(value[place], rng, depth + 1), *value[place + 1 :]]
    return JUNK[rng.integers(len(JUNK))]


def fuzz_document(path: Path, rng: np.random.Generator) -> None:
    start = {**DOCUMENT, **(UNION if rng.random() < 0.3 else {})}
    start["node_extra"] = [{"name": "a", "rows": [1], "values": [{"tuple": [1, {"bytes": "00"}]}]}]
    start["graph_extra"] = [["k", {"dict": [[1, {"np.float32": 0.5}]]}]]
    changed = start
    for _ in range(int(rng.integers(1, 4))):
        changed = mutate(changed, rng)
    changes = {k: changed.get(k, ...) if isinstance(changed, dict) else changed for k in start}
    tensors: dict = {}
    if rng.random() < 0.3:
        name = ("weight", "bias", "response", "other")[rng.integers(4)]
        tensors[name] = (np.zeros(0), np.zeros(5), np.zeros((1, 3)), np.arange(3), np.full(3, 1e308))[rng.integers(5)]
    crafted(path, changes, tensors)


def fuzz_bytes(path: Path, whole: bytes, rng: np.random.Generator) -> None:
    damaged = bytearray(whole)
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(len(damaged)))
        match int(rng.integers(4)):
            case 0:
                damaged[place] = int(rng.integers(256))
            case 1:
                del damaged[place : place + int(rng.integers(1, 40))]
            case 2:
                damaged[place:place] = rng.bytes(int(rng.integers(1, 20)))
            case _:
                damaged[place:place] = damaged[: int(rng.integers(1, 60))]
        damaged = damaged or bytearray(b"{")
    path.write_bytes(reseal(bytes(damaged), path.suffix))


def reseal(data: bytes, suffix: str) -> bytes:
    """Damaged bytes with the digest put right, so that they reach what is behind the digest."""
    if suffix == ".json":
        body = data.rpartition(b'"sha256": "')[0] or data
        return body + b'"sha256": "%s"\n}\n' % sha256(body).hexdigest().encode()
    before, mark, after = data.rpartition(b'\\"sha256\\":\\"')
    blank = before + mark + b"0" * 64 + after[64:]
    return before + mark + sha256(blank).hexdigest().encode() + after[64:] if mark else data


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return 300 * max(1, request.config.getoption("--soak"))


def test_readers_raise_nothing_but_their_own_errors(path, rounds):
    rng = np.random.default_rng(20)
    outcomes = set()
    for _ in range(rounds):
        fuzz_document(path, rng)
        outcomes.add(outcome(path))
    crafted(path, {}, {})
    whole = path.read_bytes()
    for _ in range(rounds):
        fuzz_bytes(path, whole, rng)
        outcomes.add(outcome(path))
    assert {"FileError", "GraphError", "Network"} <= outcomes
    assert "an error without a message" not in outcomes


def outcome(path: Path) -> str:
    """What loading ends in. Whatever is no FlowgradError gets through, and fails the test."""
    try:
        return type(fg.load(path)).__name__
    except FlowgradError as error:
        return type(error).__name__ if str(error) else "an error without a message"
