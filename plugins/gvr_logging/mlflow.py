"""One MLflow run per benchmark run, at `$MLFLOW_TRACKING_URI`."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gvr_bench.api as gvr
from gvr_logging import FILES, Row, losses_of, params_of, plain, scores_of

if TYPE_CHECKING:
    from mlflow.entities import Metric

VARIABLE = "MLFLOW_TRACKING_URI"
BATCH = 1000  # metrics per request
# An unreachable server must not delay a finished run by minutes, and there is no telemetry.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@gvr.hookimpl
def gvr_run_finished(folder: Path, records: Sequence[Row], stages: Sequence[Row]) -> None:
    """Log spec, scores, losses and the page of a run. Raises what MLflow raises."""
    if not os.environ.get(VARIABLE):
        return
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    with contextlib.redirect_stdout(sys.stderr):  # MLflow prints where it logged
        _log(folder, records, stages)


def _log(folder: Path, records: Sequence[Row], stages: Sequence[Row]) -> None:
    try:
        import mlflow
    except ImportError as error:
        raise gvr.PluginError(
            f"{VARIABLE} is set and mlflow is not installed: pip install 'gvr-bench[mlflow]'"
        ) from error

    with mlflow.start_run(run_name=folder.name) as run:
        mlflow.log_params(params_of(folder))
        client = mlflow.MlflowClient()
        metrics = list(_metrics(records, stages))
        for start in range(0, len(metrics), BATCH):
            client.log_batch(run.info.run_id, metrics[start : start + BATCH])
        for name in FILES:
            mlflow.log_artifact(str(folder / name))


def _metrics(records: Sequence[Row], stages: Sequence[Row]) -> Iterator[Metric]:
    """Yield all scores, and the losses by step."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    for name, value in scores_of(records).items():
        yield Metric(name, value, now, 0)
    for label, history in losses_of(stages):
        for entry in history:
            for loss, value in entry.items():
                if loss != "step":
                    yield Metric(f"{label}/{plain(loss)}", value, now, int(entry["step"]))
