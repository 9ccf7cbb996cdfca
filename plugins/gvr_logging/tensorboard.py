"""Losses and scores of a run for TensorBoard, in the folder `$GVR_BENCH_TENSORBOARD`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import gvr_bench.api as gvr
from gvr_logging import MODEL, Row, losses_of, metric_of, plain, whose

VARIABLE = "GVR_BENCH_TENSORBOARD"


@gvr.hookimpl
def gvr_run_finished(folder: Path, records: Sequence[Row], stages: Sequence[Row]) -> None:
    """Write a folder of events per run: losses by step, and a table of scores (HPARAMS).

    Raises `PluginError` if TensorBoard is not installed.
    """
    target = os.environ.get(VARIABLE)
    if not target:
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise gvr.PluginError(
            f"{VARIABLE} is set and tensorboard is not installed: pip install "
            f"'gvr-bench[tensorboard]'"
        ) from error

    now = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    events = Path(target).expanduser() / f"{folder.name}-{now}"
    for label, history in losses_of(stages):
        with SummaryWriter(str(events / label)) as writer:
            for entry in history:
                for loss, value in entry.items():
                    if loss != "step":
                        writer.add_scalar(loss, value, int(entry["step"]))
    with SummaryWriter(str(events)) as writer:
        for row, scores in _table(records).items():
            settings = dict(zip((*MODEL, "explainer"), row, strict=True))
            writer.add_hparams(settings, scores, run_name=plain(" ".join(map(str, row))))


def _table(records: Sequence[Row]) -> dict[tuple[str | int, ...], dict[str, float]]:
    """Return the scores of each model and explainer, by finding and metric."""
    table: dict[tuple[str | int, ...], dict[str, float]] = defaultdict(dict)
    for record in records:
        if record["value"] is not None:
            row = (*(record[field] for field in MODEL), whose(record))
            table[row][metric_of(record)] = record["value"]
    return table
