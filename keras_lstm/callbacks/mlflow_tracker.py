"""A training in MLflow."""

import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_lstm.callbacks.tracker import Rows, Tracker

# The tag by which a resumed training finds its run: MLflow chooses the
# identifiers of runs itself.
_TAG = "keras_lstm.run_id"
_STATES = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
# MLflow refuses longer requests.
_MAX_METRICS, _MAX_PARAMS = 1000, 100
# Unless the environment says otherwise: a server that is gone must not hold up
# training for long, nothing is sent to MLflow's makers, and standard output
# is for results.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class MLflowTracker(Tracker):
    """Send a training to MLflow.

    The server or file is that of `MLFLOW_TRACKING_URI`, by default MLflow's
    SQLite file in the working directory; `MLFLOW_EXPERIMENT_NAME` names the
    experiment. Metrics of epochs keep their names, results begin with
    "result_", options are parameters, and files are artifacts. See `Tracker`.

    Args:
        project: name of the experiment. If None, that of
            `MLFLOW_EXPERIMENT_NAME`, or else "keras-lstm". Defaults to None.
        name: name of the tracked run. If None, MLflow makes one up. Defaults to
            None.
        options: mapping of names to values that describe the training. Defaults
            to None.
        verbose: 0 or 1. With 1, print where the training is tracked. Defaults
            to 1.

    Example:

    ```python
    model.fit(dataset, epochs=20, callbacks=[MLflowTracker("adders")])
    ```
    """

    package = "mlflow"

    def _open(self) -> int:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        import mlflow

        # Unlike `mlflow.start_run`, it sends no user name, path or commit.
        self._client = mlflow.MlflowClient()
        project = self.project or os.environ.get(
            "MLFLOW_EXPERIMENT_NAME", "keras-lstm"
        )
        experiment = self._experiment(project)
        found = self._client.search_runs(
            [experiment], f"tags.`{_TAG}` = '{self.run_id}'", max_results=1
        )
        if found:
            run = found[0]
        else:
            run = self._client.create_run(
                experiment, tags={_TAG: self.run_id}, run_name=self.name
            )
        self._run = run.info.run_id
        self._url = f"{mlflow.get_tracking_uri()}, experiment {project}"
        if run.info.status != "RUNNING":
            self._client.update_run(self._run, status="RUNNING")
        # MLflow refuses to change parameters, such as more epochs.
        new = [
            mlflow.entities.Param(name, str(value))
            for name, value in self.options.items()
            if name not in run.data.params
        ]
        for i in range(0, len(new), _MAX_PARAMS):
            self._client.log_batch(self._run, params=new[i : i + _MAX_PARAMS])
        names = [k for k in run.data.metrics if not k.startswith("result_")]
        if not names:
            return 0
        name = "loss" if "loss" in names else names[0]
        points = self._client.get_metric_history(self._run, name)
        return max(point.step for point in points)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        import mlflow

        try:
            return str(self._client.create_experiment(name))
        except mlflow.MlflowException:
            # Another run may have made it in between.
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _place(self) -> str:
        return self._url

    def _log(self, rows: Rows) -> None:
        import mlflow

        now = int(time.time() * 1000)
        points = [
            mlflow.entities.Metric(name, float(np.mean(value)), now, epoch)
            for epoch in sorted(rows)
            for name, value in rows[epoch].items()
        ]
        for i in range(0, len(points), _MAX_METRICS):
            self._client.log_batch(
                self._run, metrics=points[i : i + _MAX_METRICS]
            )

    def _add(
        self, values: Mapping[str, Any], files: list[pathlib.Path]
    ) -> None:
        for name, value in values.items():
            if isinstance(value, str):
                self._client.set_tag(self._run, f"result_{name}", value)
            else:
                self._client.log_metric(
                    self._run, f"result_{name}", float(value)
                )
        for path in files:
            self._client.log_artifact(self._run, str(path))

    def _close(self, state: str) -> None:
        self._client.set_terminated(self._run, _STATES[state])
