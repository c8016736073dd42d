"""MLflow: log every value of every epoch as a metric of an MLflow run, and the settings as its parameters."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flowgrad.errors import ConfigError, MissingDependencyError
from flowgrad.history import History, Row

LENGTH = 500  # largest number of characters of a parameter's value that every store accepts


class MLflow:
    """Callback that logs to MLflow: each value of an epoch as a metric, the settings of `fit` as parameters.

    If `folder` is None and an MLflow run is active, the callback logs to that run and leaves it open. Otherwise it
    creates a run, and terminates it at the end of training.

    Args:
        folder: path of the folder of the database mlflow.db; both are created if missing. None: the tracking URI for
            which MLflow is configured.
        experiment: name of the experiment of a new run; it is created if missing.
        run: name of a new run. None: MLflow chooses a name.

    Raises:
        MissingDependencyError: mlflow is not installed.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, experiment: str = "flowgrad", run: str | None = None
    ) -> None:
        try:
            import mlflow
        except ModuleNotFoundError:
            raise MissingDependencyError("mlflow", "mlflow", "logging to MLflow") from None
        self._mlflow, self._client, self._run, self._ours = mlflow, None, "", True
        self.folder, self.experiment, self.name = None if folder is None else Path(folder), experiment, run

    @classmethod
    def for_run(cls, folder: Path) -> MLflow:
        """Return a callback that logs to the tracking URI configured for MLflow, in a run named like the folder."""
        return cls(run=folder.name)

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Create a run, or use the active one, and log the settings as parameters.

        Raises:
            ConfigError: MLflow reports an error, such as a store or server that does not exist.
        """
        self._asked(lambda: self._open(settings))

    def _open(self, settings: Mapping[str, Any]) -> None:
        uri, active = None, self._mlflow.active_run()
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{(self.folder / 'mlflow.db').resolve()}"
        client = self._client = self._mlflow.MlflowClient(tracking_uri=uri)
        if active is not None and uri is None:
            self._run, self._ours = active.info.run_id, False
        else:
            found = client.get_experiment_by_name(self.experiment)
            place = found.experiment_id if found else client.create_experiment(self.experiment)
            self._run = client.create_run(place, run_name=self.name).info.run_id
        for name, value in settings.items():
            client.log_param(self._run, name, str(value)[:LENGTH])

    def epoch(self, row: Row) -> None:
        """Log each value of the row as a metric of that name, with the epoch as step.

        Raises:
            ConfigError: MLflow reports an error.
        """
        client = self._client
        assert client is not None
        for name, value in row.items():
            if name != "epoch":
                self._asked(lambda n=name, v=value: client.log_metric(self._run, n, float(v), step=int(row["epoch"])))

    def end(self, history: History, error: BaseException | None) -> None:
        """Log why training ended as the tag flowgrad.reason, and terminate the run unless it was active before."""
        client = self._client
        if client is None or not self._run:
            return
        client.set_tag(self._run, "flowgrad.reason", history.reason if error is None else str(error)[:LENGTH])
        if self._ours:
            ended = "FAILED" if error is not None else "KILLED" if history.reason == "interrupted" else "FINISHED"
            client.set_terminated(self._run, ended)

    def _asked(self, call: Callable[[], object]) -> None:
        """Call a function of MLflow; convert its errors to a ConfigError with a message of one line."""
        try:
            call()
        except (self._mlflow.exceptions.MlflowException, OSError) as problem:
            raise ConfigError(f"MLflow does not take this: {str(problem).splitlines()[0]}") from None


entry = MLflow
