"""Samples that stay where they are stored: the bits of a training in memory; read ahead, and few of them at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, NonFiniteError, ShapeError
from flowgrad.fitting import stored
from flowgrad.fitting.feeding import cut
from flowgrad.fitting.ordering import Ordering
from flowgrad.fitting.samples import Samples

N = 60


class Source:
    """A source over arrays that notes what it was asked for, and by whom."""

    def __init__(self, X: Any, T: Any, blocks: Any = None) -> None:
        self.X, self.T, self.asked, self.threads = X, T, list[int](), set[str]()
        if blocks is not None:
            self.blocks = blocks

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: Any) -> Any:
        self.asked += rows.tolist()
        self.threads.add(threading.current_thread().name)
        return self.X[rows], self.T[rows]


class Half(Source):
    """A source of X or T alone."""

    def take(self, rows: Any) -> Any:
        return self.X[rows]


@pytest.fixture
def mapped(tmp_path: Path) -> Callable[..., Any]:
    """mapped(array) is the array in a file, mapped."""

    def made(array: Any, mode: Any = "r") -> Any:
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.npy"
        np.save(file, array)
        return np.load(file, mmap_mode=mode)

    return made


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chunks of 16 samples, so that there are several; and no thread is left."""
    monkeypatch.setattr(stored, "CHUNK", 16 * 8 * 5)
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("flowgrad-fetch")]


def rows(history: fg.History) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]


def trained(program: fg.Program, X: Any, T: Any = None, **options: Any) -> tuple[bytes, Any]:
    history = fg.fit(program, X, T, **{"epochs": 3, "batch_size": 7, **options})
    return program.theta.tobytes(), rows(history)


OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"shuffle": False},
    {"shuffle": 24},
    {"validation": 0.3, "patience": 1, "metrics": ["r2"], "dropout": 0.2},
    {"sample_weight": np.arange(N) % 3, "shuffle": 20},
    {"batch_size": 1000, "l2": 0.01},
)


@pytest.mark.covering(
    options={str(each): each for each in OPTIONS}, dtype=["float64", "float32"], executor=["python", "numba"]
)
def test_the_bits_are_those_of_arrays_in_memory(
    executor: str, options: Any, dtype: str, program_of: Any, data_of: Any, mapped: Any
) -> None:
    X, T = data_of(N)
    whole = trained(program_of(executor, dtype=dtype), X, T, **options)
    ways = (mapped(X), mapped(T)), (mapped(X), T), (X, mapped(T)), (Source(X, T), None), (Half(X, T), Half(T, X))
    for way in ways:
        assert trained(program_of(executor, dtype=dtype), *way, **options) == whole


@pytest.mark.parametrize("options", [{"class_weight": "balanced", "label_smoothing": 0.1}, {"class_weight": {1: 0}}])
def test_classes_too(executor: str, options: Any, program_of: Any, data_of: Any, mapped: Any) -> None:
    X, classes = data_of(N)[0], np.arange(N) % 3 // 2
    programs = [program_of(executor, loss="cross_entropy") for _ in range(3)]
    ways = (X, classes), (mapped(X), mapped(classes)), (Source(X, classes), None)
    found = [trained(program, *way, **options) for program, way in zip(programs, ways, strict=True)]
    assert found[1] == found[2] == found[0]


def test_validation_may_be_stored(program_of: Any, data_of: Any, mapped: Any) -> None:
    (X, T), (V, U) = data_of(N), data_of(33)
    found = [
        trained(program_of("python"), X, T, validation=validation, metrics=["rmse"])
        for validation in ((V, U), (mapped(V), U), Source(V, U))
    ]
    assert found[1] == found[2] == found[0]


# ---- the order ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 80), st.integers(1, 40), st.lists(st.integers(0, 80), max_size=6), st.integers(0, 5))
def test_by_blocks_each_sample_comes_once_and_buffers_are_whole_blocks(
    n: int, buffer: int, cuts: list[int], seed: int
) -> None:
    blocks = np.unique([0, *(k for k in cuts if k < n), n])
    of = np.searchsorted(blocks, np.arange(n), side="right")
    first, second = (Ordering(n, np.random.default_rng(seed), blocks, buffer) for _ in range(2))
    for _ in range(2):
        parts = list(first.epoch())
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))
        assert [p.tolist() for p in second.epoch()] == [p.tolist() for p in parts]
        if first.by_blocks:
            assert all(len(part) >= buffer for part in parts[:-1])
            assert sum(len(np.unique(of[part])) for part in parts) == len(blocks) - 1
        else:
            assert len(parts) == 1


def test_a_new_order_each_epoch_which_reaches_every_buffer() -> None:
    ordering = Ordering(1000, np.random.default_rng(0), np.arange(0, 1001, 50), 200)
    epochs = [np.concatenate(list(ordering.epoch())) for _ in range(3)]
    for a, b in pairwise(epochs):
        assert (a == b).mean() < 0.05
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.6


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 11), st.booleans())
def test_batches_are_cut_out_of_chunks_of_any_sizes(sizes: list[int], size: int, weighted: bool) -> None:
    n = sum(sizes)
    x = np.arange(2.0 * n).reshape(n, 2)
    whole = Samples(x, x + 1, x[:, 0] if weighted else None, np.arange(n))
    ends = np.cumsum([0, *sizes]).tolist()
    batches = list(cut((whole.part(a, b) for a, b in pairwise(ends)), size))
    assert [len(batch) for batch in batches] == [min(size, n - first) for first in range(0, n, size)]
    for name in ("x", "t", "rows", *(("s",) if weighted else ())):
        assert np.array_equal(
            np.concatenate([getattr(b, name) for b in [*batches, whole.part(0, 0)]]), getattr(whole, name)
        )


# ---- what is read ----------------------------------------------------------------------------------------------------


def test_an_epoch_reads_each_sample_once_and_none_of_weight_0(program_of: Any, data_of: Any) -> None:
    X, T = data_of(N)
    weight = np.arange(N) % 3
    source = Source(X, T)
    fg.fit(program_of("python"), source, epochs=1, sample_weight=weight)
    looked, read = source.asked[:1], source.asked[1:]  # the first sample is looked at before training
    assert looked == [1]
    assert sorted(read) == np.flatnonzero(weight).tolist()


def test_a_source_cannot_change_the_order(program_of: Any, data_of: Any) -> None:
    class Sorting(Source):
        def take(self, rows: Any) -> Any:
            rows.sort()
            return super().take(rows)

    with pytest.raises(ValueError, match="read-only"):
        fg.fit(program_of("python"), Sorting(*data_of(N)))


def test_the_next_chunk_is_read_while_one_is_used(
    program_of: Any, data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, program, ahead = Source(*data_of(N)), program_of("python"), threading.Event()
    take, step = source.take, program._differentiate

    def takes(rows: Any) -> Any:
        if 14 in rows:  # the second chunk
            ahead.set()
        return take(rows)

    def steps(*args: Any) -> Any:
        assert ahead.wait(60)
        return step(*args)

    monkeypatch.setattr(source, "take", takes)
    monkeypatch.setattr(program, "_differentiate", steps)
    fg.fit(program, source, epochs=1, batch_size=14, shuffle=False)
    assert any(name.startswith("flowgrad-fetch") for name in source.threads)


def test_little_is_in_memory_at_a_time(program_of: Any, data_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source, most = Source(*data_of(500)), list[int]()
    take = source.take
    monkeypatch.setattr(source, "take", lambda rows: (most.append(len(rows)), take(rows))[1])
    options = {"validation": 0.2, "metrics": ["r2"], "class_weight": None, "epochs": 2, "batch_size": 5}
    fg.fit(program_of("python"), source, **options)
    assert max(most) <= 16


def test_what_was_written_to_a_private_mapping_stays(program_of: Any, data_of: Any, mapped: Any) -> None:
    X, T = data_of(N)
    private = mapped(X, "c")
    private[3] = 7.0
    X[3] = 7.0
    assert trained(program_of("python"), private, T) == trained(program_of("python"), X, T)


# ---- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False, 20])
@pytest.mark.parametrize("blocks", [None, (0, 10, 25, 26, 60)])
def test_it_goes_on_from_a_checkpoint_bit_for_bit(
    tmp_path: Path, shuffle: Any, blocks: Any, program_of: Any, data_of: Any
) -> None:
    options = {"dropout": 0.2, "shuffle": shuffle, "validation": 0.2, "patience": 5}
    source = Source(*data_of(N), blocks)
    whole = trained(program_of("python"), source, epochs=5, **options)
    trained(program_of("python"), source, epochs=2, checkpoint=tmp_path / "c", **options)
    program = program_of("python")
    resumed = trained(program, source, epochs=5, checkpoint=tmp_path / "c", resume=True, **options)
    assert resumed == whole


def test_a_checkpoint_knows_its_data_by_some_of_them(tmp_path: Path, program_of: Any, data_of: Any) -> None:
    X, T = data_of(2000)
    given = {"epochs": 1, "checkpoint": tmp_path / "c"}
    fg.fit(program_of("python"), Source(X, T), **given)
    source = Source(X, T)
    fg.fit(program_of("python"), source, resume=True, **given)  # finished: nothing but a look
    assert len(source.asked) <= 1 + stored.SAMPLED
    for other, said in ((Source(X + 1, T), "its X is"), (Source(X[:-1], T[:-1]), "samples=2000 there, 1999")):
        with pytest.raises(ConfigError, match=said):
            fg.fit(program_of("python"), other, resume=True, **given)


# ---- how it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyError("row"), StopIteration()])
def test_an_error_of_a_source_is_raised_as_it_is(error: Exception, program_of: Any, data_of: Any) -> None:
    class Broken(Source):
        def take(self, rows: Any) -> Any:
            if len(self.asked) > 30:
                raise error
            return super().take(rows)

    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
        fg.fit(program_of("python"), Broken(*data_of(N)))


@pytest.mark.parametrize(
    ("error", "reason", "within"),
    [
        (KeyboardInterrupt(), "interrupted", True),
        (KeyboardInterrupt(), "interrupted", False),
        (fg.StopTraining(), "stopped", False),
    ],
)
def test_an_interrupt_ends_the_thread(
    error: BaseException, reason: str, within: bool, program_of: Any, data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, steps = program_of("python"), [0]
    step = program._differentiate

    def differentiate(*args: Any) -> Any:
        steps[0] += 1
        if within and steps[0] == 12:
            raise error
        return step(*args)

    def on_epoch(row: Any) -> None:
        if not within and row["epoch"] == 2:
            raise error

    monkeypatch.setattr(program, "_differentiate", differentiate)
    history = fg.fit(program, Source(*data_of(N)), batch_size=7, epochs=50, on_epoch=on_epoch)
    assert history.reason == reason


@pytest.mark.parametrize("where", ["X", "T", "validation"])
def test_a_number_that_is_not_finite_is_named_by_its_sample(where: str, program_of: Any, data_of: Any) -> None:
    (X, T), (V, U) = data_of(N), data_of(N)
    bad = {"X": X, "T": T, "validation": V}[where]
    bad[41, 1] = np.nan
    said = r"target of output .* is nan at sample 41" if where == "T" else r"input .* is nan at sample 41"
    program = program_of("python")
    with pytest.raises(NonFiniteError, match=said) as caught:
        fg.fit(program, Source(X, T), validation=Source(V, U))
    assert ("validation" in str(caught.value)) == (where == "validation")
    assert np.isfinite(program.theta).all()


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_targets_that_stand_apart_are_looked_at_before_training(program_of: Any, data_of: Any, mapped: Any) -> None:
    X, program = data_of(N)[0], program_of("python", loss="cross_entropy")
    classes = np.zeros(N, np.int64)
    classes[50] = 2
    for T in (classes, mapped(classes)):
        with pytest.raises(DataError, match=r"class index 2 at sample 50 is out of range"):
            fg.fit(program, mapped(X), T, on_epoch=lambda row: pytest.fail("it trained"))
    with pytest.raises(DataError, match=r"class index 2 at sample 50"):
        fg.fit(program, Source(X, classes))


def test_what_is_no_source_is_refused_by_what_it_lacks(program_of: Any, data_of: Any, mapped: Any) -> None:
    X, T = data_of(N)

    class Short(Source):
        def take(self, rows: Any) -> Any:
            return self.X[rows][:-1], self.T[rows][:-1]

    cases: list[tuple[Any, Any, type[Exception], str]] = [
        (X, None, ConfigError, "T is missing"),
        (mapped(X), None, ConfigError, "T is missing"),
        (Half(X, T), None, DataError, r"without T it gives a pair \(x, t\)"),
        (Source(X, T), T, ConfigError, "leave T out"),
        (Short(X, T), None, ShapeError, "X.take gave 0 samples of 1 rows"),
        (Source(X[:, :2], T), None, ShapeError, r"must be \(B, 3\)"),
        (mapped(X[:, :2]), T, ShapeError, r"X has shape \(60, 2\): must be \(B, 3\)"),
        (mapped(X), T[:-1], ShapeError, "T has 59 rows and X 60"),
        (Source(X[:0], T[:0]), None, DataError, "empty batch"),
        (Source(X, T, (0, 70)), None, DataError, r"X.blocks is .*must ascend from 0 to 60"),
        (Source(X, T, "all"), None, DataError, r"X.blocks is 'all'"),
    ]
    for given_X, given_T, error, said in cases:
        with pytest.raises(error, match=said):
            fg.fit(program_of("python"), given_X, given_T)
    with pytest.raises(ConfigError, match="minimize looks at all samples"):
        fg.minimize(program_of("python"), Source(X, T), T)


@pytest.mark.parametrize("shuffle", [0, 1, -5, 2.5, "yes", None])
def test_shuffle_is_a_flag_or_a_number_of_samples(shuffle: Any, program_of: Any, data_of: Any) -> None:
    with pytest.raises(ConfigError, match=r"^shuffle="):
        fg.fit(program_of("python"), *data_of(N), shuffle=shuffle)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames_have_take_too_and_are_no_sources(library: str) -> None:
    pytest.importorskip(library)
    columns = {"a": [1.0, 2.0]}
    frame = getattr(__import__(library), "table" if library == "pyarrow" else "DataFrame")(columns)
    assert not stored.is_stored(frame)
