from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_stages import BINARY, Bank, Squares

from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.core.errors import CacheError
from gvr_bench.pipeline.steps.metric_inputs import CaseSource, Networks


@pytest.fixture
def source(tmp_path: Path) -> CaseSource:
    """Explanations with a counterfactual, of cases without a mask."""
    bank = Bank(tmp_path)
    cases = bank.cases(bank.data(Squares(BINARY)))
    explanations = bank.stage("explanations", bank.stage("head"), cases)
    folder = bank.stage_ctx(explanations).cache.write_dir(explanations)
    folder.mkdir(parents=True)
    write_arrays(folder / "explanations.h5", {"counterfactual": np.ones((8, 1, 4, 4))})
    stage_ctx = bank.stage_ctx(bank.stage("scores", explanations, cases))
    return CaseSource(stage_ctx, Networks(stage_ctx), slice(0, 3))


def test_damaged_optional_column_is_named(source: CaseSource) -> None:
    path = source.path("explanations")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CacheError, match=r"cannot read .*explanations\.h5: "):
        source.read_optional("explanations", "counterfactual")


def test_optional_column_may_be_absent(source: CaseSource) -> None:
    counterfactual = source.read_optional("explanations", "counterfactual")
    assert counterfactual is not None
    assert counterfactual.shape == (3, 1, 4, 4)
    assert source.read_optional("explanations", "latent") is None
    with pytest.raises(LookupError, match="'attribution' is no optional column"):
        source.read_optional("explanations", "attribution")


def test_every_case_has_two_classes(source: CaseSource) -> None:
    assert [len(classes) for classes in source.classes] == [3, 3]
