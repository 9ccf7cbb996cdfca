from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import record

from gvr_bench.report.folder import load
from gvr_bench.report.scores.cautions import cautions
from gvr_bench.report.scores.tables import model_tables


@pytest.mark.parametrize(("agreement", "warned"), [(0.83, True), (0.9, False)])
def test_a_classifier_that_the_decoder_alone_turns_is_called_that(
    make_run: Callable[..., Path], agreement: float, warned: bool
) -> None:
    values = {"auroc": 0.91, "decoded_agreement": agreement, "raw_auroc": 0.97}
    records = [
        record(explainer=None, metric=metric, value=value, low=value, high=value)
        for metric, value in values.items()
    ]
    run = load(make_run(records=records, n=1, size=8))
    told = [line for line in cautions(run, model_tables([run]), []) if "decoding alone" in line]
    assert told == (
        [
            "Encoding and decoding alone turns 17% of the decisions of all (AUROC 0.97 without, "
            "0.91 with it): what is explained is what the classifier says of the decoder's "
            "pictures."
        ]
        if warned
        else []
    )
