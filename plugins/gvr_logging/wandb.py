"""One Weights & Biases run per benchmark run, in the project `$WANDB_PROJECT`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import gvr_bench.api as gvr
from gvr_logging import FILES, Row, losses_of, params_of, plain, scores_of

VARIABLE = "WANDB_PROJECT"


@gvr.hookimpl
def gvr_run_finished(folder: Path, records: Sequence[Row], stages: Sequence[Row]) -> None:
    """Log spec, scores, losses and the page of a run. Raises what wandb raises."""
    if not os.environ.get(VARIABLE):
        return
    try:
        import wandb
    except ImportError as error:
        raise gvr.PluginError(
            f"{VARIABLE} is set and wandb is not installed: pip install 'gvr-bench[wandb]'"
        ) from error

    with (
        contextlib.redirect_stdout(sys.stderr),
        wandb.init(name=folder.name, config=params_of(folder)) as run,
    ):
        for label, history in losses_of(stages):
            run.define_metric(f"{label}/*", step_metric=f"{label}/step")
            for entry in history:
                run.log({f"{label}/{plain(loss)}": value for loss, value in entry.items()})
        run.summary.update(scores_of(records))
        for name in FILES:
            run.save(folder / name, base_path=folder, policy="now")
