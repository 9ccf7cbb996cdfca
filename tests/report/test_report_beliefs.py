from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import record

from gvr_bench.report.folder import load
from gvr_bench.report.scores.beliefs import beliefs
from gvr_bench.report.scores.tables import scoreboards
from gvr_bench.results.records import Record

Told = Callable[[list[Record]], dict[str, str]]


@pytest.fixture
def told(make_run: Callable[..., Path]) -> Told:
    def answers(records: list[Record]) -> dict[str, str]:
        run = load(make_run(records=records, n=1, size=8))
        return {item.question: item.answer for item in beliefs(scoreboards([run]))}

    return answers


def scored(metric: str, **values: float) -> list[Record]:
    """Each explainer's value, known to within 0.05."""
    better = "down" if metric == "deletion_auc" else "up"
    return [
        record(explainer=name, metric=metric, better=better, value=value, low=value - 0.05,
               high=value + 0.05)
        for name, value in values.items()
    ]  # fmt: skip


def test_a_question_on_which_nobody_beats_the_controls_stays_open(told: Told) -> None:
    assert told(scored("pixel_ap", gvr=0.5, edge=0.5)) == {
        "Ground truth": "Nobody does better than every control on pixel AP."
    }


def test_a_run_without_controls_supports_nothing(told: Told) -> None:
    assert told(scored("pixel_ap", gvr=0.9, lime=0.2)) == {}


def test_who_beats_every_control_is_named_and_who_does_not(told: Told) -> None:
    values = {"gvr": 0.9, "saliency": 0.7, "lime": 0.5, "edge": 0.5, "random": 0.1}
    assert told(scored("pixel_ap", **values)) == {
        "Ground truth": (
            "gvr and saliency do better than every control on pixel AP; lime does not. gvr leads."
        )
    }


def test_where_less_is_better_less_beats_the_controls(told: Told) -> None:
    assert told(scored("deletion_auc", gvr=0.1, lime=0.9, edge=0.5)) == {
        "Faithfulness": "gvr does better than every control on deletion AUC; lime does not."
    }


def test_of_several_scores_those_that_show_nothing_are_told_apart(told: Told) -> None:
    records = [
        *scored("pixel_ap", gvr=0.9, saliency=0.8, lime=0.5, edge=0.5),
        *scored("iou_otsu", gvr=0.7, saliency=0.9, lime=0.5, edge=0.5),
        *scored("pointing_hit", gvr=0.9, saliency=0.8, lime=0.5, edge=0.5),
        *scored("sign_accuracy", gvr=0.9, saliency=0.8, lime=0.5, edge=0.9),
    ]
    assert told(records) == {
        "Ground truth": (
            "gvr and saliency do better than every control on all 3 scores; lime on none. "
            "gvr leads on 2. Sign accuracy shows nothing: nobody beats every control there."
        )
    }


def test_what_no_control_can_be_held_to_is_told_in_one_line(told: Told) -> None:
    records = [
        *scored("pixel_ap", gvr=0.9, edge=0.5),
        *scored("validity", gvr=0.9),
        *scored("oracle_validity", gvr=0.9),
        *scored("seconds_per_image", gvr=0.9, edge=0.1),
    ]
    found = told(records)
    assert list(found) == ["Ground truth", "Validity and oracle"]
    assert found["Validity and oracle"].startswith("No control has a score here")


def test_the_paired_test_decides_where_values_are_known(ranked: Path) -> None:
    (truth, *_) = beliefs(scoreboards([load(ranked)]))
    assert truth.answer == (
        "gvr, latent-shift, gifsplanation, counterfactual-cam, occlusion and saliency do better "
        "than every control on both scores; integrated-gradients, lime and cam on none. "
        "gvr leads on all. Rank accuracy shows nothing: nobody beats every control there."
    )
