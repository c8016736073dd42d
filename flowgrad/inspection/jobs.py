"""Long jobs on several processes: results are stored in a folder one by one, and a later call does those missing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from flowgrad.arguments import whole
from flowgrad.atomic import flush_folder, put
from flowgrad.bars import bar
from flowgrad.errors import ConfigError, FileError, listing
from flowgrad.executor import Array
from flowgrad.inspection.workers import in_processes

Job = tuple[Any, ...]
VERSION = 1


class Done(Protocol):
    """Protocol of the result of a job; `arrays` returns its content for an .npz file."""

    @property
    def job(self) -> Job: ...

    def arrays(self) -> dict[str, Array]: ...


D = TypeVar("D", bound=Done)


@dataclass(frozen=True)
class Series:
    """A kind of jobs: `work(*job)` does a job in this process, `work(*job, 1)` in a worker process, on one thread.

    restored  function (job, arrays) → result of the job, from the arrays that `Done.arrays` returned
    said      JSON data that must be equal in two calls for their results to share a folder
    kind      noun for all the jobs together, in messages: "study"
    one       noun for one job, in messages and in front of the progress bar: "run"
    """

    work: Callable[..., Any]
    restored: Callable[[Job, Mapping[str, Array]], Any]
    said: Mapping[str, Any]
    kind: str
    one: str

    def finished(
        self,
        jobs: Sequence[Job],
        folder: str | os.PathLike[str] | None,
        workers: int | None,
        progress: bool,
        on_done: Callable[[Any], object] | None,
    ) -> dict[Job, Any]:
        """Do the jobs whose results are not in the folder, and return all results by job.

        Args:
            folder: path where results are stored; None stores nothing.
            workers: number of processes, an integer ≥ 1; None: one per core.
            progress: whether to show a progress bar; it needs rich.
            on_done: callable that is called with each new result.

        Raises:
            ConfigError: the folder holds results of other jobs, or workers is below 1.
            FileError: the folder cannot be read or written.
            Errors of a job: as it raised them.
        """
        kept = None if folder is None else _Folder(Path(folder), self)
        done = {} if kept is None else kept.read(jobs)
        left = [job for job in jobs if job not in done]
        processes = cores() if workers is None else whole("workers", workers, 1)
        with bar(self.one, len(jobs), len(done), progress) as advance:
            for result in self._results(left, processes):
                if kept is not None:
                    kept.keep(result)
                done[result.job] = result
                advance()
                if on_done is not None:
                    on_done(result)
        return done

    def _results(self, jobs: Sequence[Job], workers: int) -> Iterator[Any]:
        if workers == 1 or len(jobs) < 2:
            yield from (self.work(*job) for job in jobs)
        else:
            yield from in_processes(self.work, deque((*job, 1) for job in jobs), min(workers, len(jobs)))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def digest(value: Any) -> str:
    """Return the SHA-256 of arrays, numbers and texts in nested mappings, lists and tuples."""
    sha = hashlib.sha256()

    def feed(item: Any) -> None:
        if isinstance(item, np.ndarray):
            sha.update(f"{item.dtype}{item.shape}".encode() + np.ascontiguousarray(item).tobytes())
        elif isinstance(item, Mapping):
            for key in sorted(item):
                sha.update(f"{key}=".encode())
                feed(item[key])
        elif isinstance(item, (list, tuple)):
            sha.update(f"[{len(item)}]".encode())
            for each in item:
                feed(each)
        else:
            sha.update(f"{item!r};".encode())

    feed(value)
    return sha.hexdigest()


class _Folder:
    """A folder of results: KIND.json holds `Series.said`, and each job has one .npz file, written atomically."""

    def __init__(self, path: Path, series: Series) -> None:
        self.path, self.series = path, series
        self.head = f"{series.kind.replace(' ', '-')}.json"
        said = {f"flowgrad {series.kind}": VERSION, **series.said}
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / self.head).exists():
                self._check(said)
            elif any(not file.name.startswith(".flowgrad-") for file in path.iterdir()):  # interrupted writes
                raise FileError(f"{path} is a folder of other things: name another one for the {series.kind}")
            else:
                self._put(self.head, (json.dumps(said, indent=1) + "\n").encode())
        except OSError as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{path}: {(error.strerror or str(error)).lower()}") from None

    def _check(self, said: dict[str, Any]) -> None:
        file, kind, one = self.path / self.head, self.series.kind, self.series.one
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            other = [key for key in said if found.get(key) != said[key]]
        except (ValueError, AttributeError):
            raise FileError(f"{file} is damaged: it is no JSON of a {kind}") from None
        if other:
            raise ConfigError(
                f"{self.path} holds {one}s of another {kind}: {listing(other)} differ; name another folder for this one"
            )

    def _put(self, name: str, data: bytes) -> None:
        put(self.path / name, (data,))
        flush_folder(self.path)

    def _file(self, job: Job) -> Path:
        return self.path / ("-".join(str(part).replace(" ", "-") for part in job) + ".npz")

    def read(self, jobs: Sequence[Job]) -> dict[Job, Any]:
        """Read the results of those jobs that have a file.

        Raises:
            FileError: a file is damaged.
        """
        found = {}
        for job in jobs:
            file = self._file(job)
            if file.exists():
                try:
                    with np.load(file, allow_pickle=False) as arrays:
                        found[job] = self.series.restored(job, arrays)
                except Exception as error:  # zipfile and NumPy raise many kinds for a damaged archive
                    again = f"delete it to have this {self.series.one} done again"
                    raise FileError(f"{file} is damaged ({error}): {again}") from None
        return found

    def keep(self, done: Done) -> None:
        """Write the result of one job."""
        buffer = io.BytesIO()
        np.savez(buffer, **done.arrays())  # type: ignore[arg-type]  # names of ours, none of them allow_pickle
        try:
            self._put(self._file(done.job).name, buffer.getvalue())
        except OSError as error:
            raise FileError(f"{self.path}: {(error.strerror or str(error)).lower()}") from None
