from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_run import CONTROLS, MODEL, missing, record, scored, whole_scoreboard, write_whole_run

from gvr_bench.report.data import ReportData, load_report
from gvr_bench.report.questions import questions
from gvr_bench.results.case_scores import RunValues, Whose
from gvr_bench.results.records import Record

MAX_WORDS = 65
Judge = Callable[..., str]


@pytest.fixture
def judged(make_run: Callable[..., Path]) -> Judge:
    """The verdict on a run with these records, which know no values of single cases."""

    def verdict(*parts: Sequence[Record]) -> str:
        records = [r for part in parts for r in part]
        (only,) = load_report([make_run(records=records, n=1, size=8)]).verdicts
        return only.text

    return verdict


def paired(folder: Path, metric: str, **columns: np.ndarray) -> ReportData:
    """A run of one metric with the values of all cases."""
    records, values = [], {}
    for name, column in columns.items():
        values[Whose(*MODEL, 0, name), metric] = column
        value = float(column.mean())
        records.append(record(explainer=name, metric=metric, value=value, low=value, high=value,
                              n=len(column)))  # fmt: skip
    board = (records, RunValues(values), {"stages": {}, "protocols": {}})
    return load_report([write_whole_run(folder, board)])


def test_control_that_wins_is_named(judged: Judge) -> None:
    text = judged(scored("pixel_ap", gvr=0.6, saliency=0.4, edge=0.8, random=0.1))
    assert text == (
        "No explainer beats the control edge on ground truth: pixel AP 0.80; "
        "the best explainer, gvr, has 0.60."
    )


@pytest.mark.parametrize(
    ("metric", "better", "best"),
    [("pixel_ap", "up", "intensity"), ("deletion_auc", "down", "random")],
)
def test_best_control_respects_the_direction(
    judged: Judge, metric: str, better: str, best: str
) -> None:
    values = {"gvr": 0.4, "edge": 0.3, "random": 0.2, "intensity": 0.9}
    assert judged(scored(metric, better, **values)).startswith(
        f"No explainer beats the control {best} on "
    )


@pytest.mark.parametrize(("cases", "leads"), [(1, False), (5, False), (6, True)])
def test_score_of_hardly_any_case_says_nothing(judged: Judge, cases: int, leads: bool) -> None:
    """One of the images has a mask, and fifty have a counterfactual."""
    masks = [replace(r, n=cases) for r in scored("pixel_ap", gvr=0.1, saliency=0.3, edge=0.2)]
    others = [replace(r, n=50) for r in scored("validity", gvr=0.9, adversarial=0.7)]
    text = judged(masks, others)
    assert ("ground truth" in text) == leads
    assert "gvr" in text


def test_tie_with_control_is_no_lead(judged: Judge) -> None:
    assert judged(scored("pixel_ap", gvr=0.52, edge=0.5)) == (
        "No explainer beats the control edge on ground truth: pixel AP 0.50; "
        "the best explainer, gvr, has 0.52, which may be chance."
    )


def test_noise_never_leads(tmp_path: Path) -> None:
    """A column of the same distribution as the control's wins by chance in its mean alone."""
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(0, 1, 60) for name in ("edge", "a", "b", "c", "d")}
    (verdict,) = paired(tmp_path / "run", "pixel_ap", **columns).verdicts
    assert verdict.text.startswith("No explainer beats the control edge on ground truth")


def test_distance_from_better_control(tmp_path: Path) -> None:
    hard = np.random.default_rng(0).uniform(0.3, 0.7, 50)
    data = paired(tmp_path / "run", "pixel_ap", gvr=hard, lime=hard - 0.1, edge=hard + 0.2)
    assert data.verdicts[0].text.endswith(
        "the best explainer, gvr, has 0.51, 0.20 (0.20 to 0.20) worse."
    )


def test_lead_has_paired_margins(tmp_path: Path) -> None:
    """Cases differ far more than explainers: intervals of the two alone would overlap."""
    rng = np.random.default_rng(0)
    hard, noise = rng.uniform(0.3, 0.7, 100), rng.normal(0, 0.01, (2, 100))
    columns = {"gvr": hard + 0.1 + noise[0], "lime": hard + noise[1], "edge": hard - 0.2}
    (verdict,) = paired(tmp_path / "run", "pixel_ap", **columns).verdicts
    assert verdict.text == (
        "gvr leads on ground truth: pixel AP 0.62, 0.10 (0.10 to 0.10) better than lime "
        "and 0.30 (0.30 to 0.30) better than the control edge."
    )


def test_shared_lead_is_not_a_lead(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hard, noise = rng.uniform(0.4, 0.6, 40), rng.normal(0, 0.1, (2, 40))
    columns = {"gvr": hard + noise[0], "lime": hard + noise[1], "edge": hard - 0.4}
    (verdict,) = paired(tmp_path / "run", "pixel_ap", **columns).verdicts
    assert " share the lead on ground truth: pixel AP 0.5" in verdict.text
    assert " (−0.0" in verdict.text  # the interval of the difference holds 0
    assert "leads" not in verdict.text


def test_small_consistent_gains_beat_controls(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(0, 1, 100)
    (verdict,) = paired(tmp_path / "run", "pixel_ap", gvr=noise + 0.01, edge=noise).verdicts
    assert "0.01 (0.01 to 0.01) better than the control edge" in verdict.text


def test_lower_scores_can_lead(judged: Judge) -> None:
    text = judged(scored("deletion_auc", "down", gvr=0.1, lime=0.3, edge=0.5))
    assert text == (
        "gvr leads on faithfulness: deletion AUC 0.10, 0.20 better than lime "
        "and 0.40 better than the control edge."
    )


def test_other_questions_follow(judged: Judge) -> None:
    text = judged(
        scored("pixel_ap", gvr=0.9, lime=0.2, edge=0.1),
        scored("deletion_auc", "down", gvr=0.5, lime=0.2, edge=0.4),
        scored("max_sensitivity", "down", gvr=0.5, lime=0.6, edge=0.4),
        scored("rationale_l1", "down", gvr=0.5, random=0.4),
        scored("im1", "down", gvr=0.5, edge=0.4),
        scored("validity", gvr=0.9),
    )
    assert text.endswith(
        "lime leads on faithfulness. No explainer beats the controls random on proximity, "
        "edge on realism and robustness. No control of this kind ran for validity."
    )


@pytest.mark.parametrize(
    ("metrics", "title"),
    [
        (("pixel_ap", "true_change_correlation", "case_specific_correlation"),
         "case.specific correlation"),
        (("pixel_ap", "true_change_correlation"), "true-change correlation"),
        (("iou_otsu", "pixel_ap"), "pixel AP"),
        (("iou_otsu",), "IoU, Otsu"),
    ],
)  # fmt: skip
def test_truth_has_one_leading_score(
    judged: Judge, monkeypatch: pytest.MonkeyPatch, metrics: tuple[str, ...], title: str
) -> None:
    from gvr_bench.metrics import DECLARED

    known = DECLARED["pixel_ap"]
    for name in metrics:  # the newest may be declared or not
        monkeypatch.setitem(DECLARED, name, DECLARED.get(name) or replace(
            known, name=name, title=name.replace("_", "-", 1).replace("_", " ")))  # fmt: skip
    text = judged(*(scored(metric, gvr=0.9, lime=0.2, edge=0.1) for metric in metrics))
    assert title.replace(".", "-") in text
    assert text.count("better than") == 2


def test_score_that_only_controls_have_leads_nothing(judged: Judge) -> None:
    records = [missing("n/a", "no sign", explainer="gvr", metric="true_change_correlation")]
    text = judged(records, scored("true_change_correlation", edge=0.1),
                  scored("pixel_ap", gvr=0.9, edge=0.1))  # fmt: skip
    assert "pixel AP 0.90" in text


def test_checks_and_costs_are_no_questions(ranked: Path, tmp_path: Path) -> None:
    (board,) = load_report([write_whole_run(tmp_path / "run", whole_scoreboard())]).boards
    names = [question.group.name for question in questions(board)]
    assert names[:4] == ["truth", "intervention", "validity", "oracle"]
    assert not {"sanity", "contamination", "cost", "prediction", "decoding"} & set(names)


def test_single_explainer_has_no_rival(judged: Judge) -> None:
    assert judged(scored("pixel_ap", gvr=0.9, edge=0.1)) == (
        "gvr, the only explainer with a score, beats the controls on ground truth: "
        "pixel AP 0.90, 0.80 better than the control edge."
    )
    assert judged(scored("pixel_ap", gvr=0.9)) == (
        "gvr, the only explainer with a score, has no rival on ground truth: pixel AP 0.90. "
        "No control ran, so no score shows that an explainer is good."
    )


def test_only_controls_judge_nobody(judged: Judge) -> None:
    text = judged(scored("pixel_ap", edge=0.9, random=0.1))
    assert text == "Only controls ran: there is no explainer to judge."


def test_model_without_explainers(judged: Judge) -> None:
    assert judged([record(explainer=None, metric="auroc")]) == "No explainer was scored."


def test_failed_explainers_lead_nothing(judged: Judge) -> None:
    lost = [missing("failed", "out of memory", explainer=name) for name in ("gvr", "lime")]
    assert judged(lost, scored("pixel_ap", edge=0.5)) == "Every explainer failed."
    text = judged(lost[:1], scored("pixel_ap", lime=0.9, edge=0.5))
    assert text.startswith("lime, the only explainer with a score, beats the controls")


def test_scores_without_questions(judged: Judge) -> None:
    records = [missing("n/a", "no masks are known", explainer=name) for name in ("gvr", "edge")]
    assert judged(records) == "No explainer has a score to compare."


def test_failed_control_is_missed(judged: Judge) -> None:
    gone = [missing("failed", "out of memory", explainer="edge")]
    text = judged(scored("pixel_ap", gvr=0.9, lime=0.5, random=0.1), gone)
    assert text.endswith("The control edge is missing because it failed.")
    text = judged(scored("pixel_ap", gvr=0.9, lime=0.5), gone)
    assert text.endswith("Controls failed for ground truth.")


def test_control_of_any_name_counts(make_run: Callable[..., Path]) -> None:
    strange = replace(scored("pixel_ap", template=0.8)[0], role="control")
    records = [*scored("pixel_ap", gvr=0.6, edge=0.1), strange]
    (verdict,) = load_report([make_run(records=records, n=1, size=8)]).verdicts
    assert verdict.text.startswith("No explainer beats the control template on ground truth")


@pytest.mark.parametrize(
    ("metric", "value", "sentence"),
    [
        ("oracle_validity", 0.16, "The independent network believes 16 % of gvr's"),
        ("validity", 0.3, "Only 30 % of gvr's counterfactuals flip the model."),
        ("true_change_total", 2.1, "gvr changes 2.1 times as much as the disease does."),
        ("true_change_amplitude", 0.23, "gvr shows only 23 % of the true change."),
    ],
)
def test_caveats_of_the_leader(judged: Judge, metric: str, value: float, sentence: str) -> None:
    better = "-" if metric.startswith("true_change") else "up"
    lead = scored("pixel_ap", gvr=0.9, lime=0.5, edge=0.1)
    harmless = judged(lead, scored(metric, better, gvr=0.9))
    text = judged(lead, scored(metric, better, gvr=value))
    assert text.startswith(f"{harmless} {sentence}")


def test_caveat_of_another_explainer_stays_out(judged: Judge) -> None:
    lead = scored("pixel_ap", gvr=0.9, lime=0.5, edge=0.1)
    assert "16 %" not in judged(lead, scored("oracle_validity", gvr=0.9, lime=0.16))


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.1, "predicts the opposite"), (0.53, "at chance"), (0.65, "weak"), (0.9, "")],
)
def test_weak_model_comes_before_all(judged: Judge, value: float, words: str) -> None:
    model = record(explainer=None, metric="auroc", value=value, low=value - 0.05, high=value + 0.05)
    lead = scored("pixel_ap", gvr=0.9, lime=0.5, edge=0.1)
    text = judged([model], lead, scored("true_change_total", "-", gvr=2.1))
    assert ("The model " in text) == bool(words)
    assert f"{words} (AUROC {value:.2f})" in text or not words
    assert ("as much as the disease" in text) == (not words)


@pytest.mark.parametrize("passed", [True, False, None])
def test_model_that_misses_findings_is_a_caveat(judged: Judge, passed: bool | None) -> None:
    """Of a data set that knows what a model has to find."""
    model = record(explainer=None, metric="auroc", value=0.85, low=0.8, high=0.89)
    lead = scored("pixel_ap", gvr=0.9, lime=0.5, edge=0.1)
    text = judged([replace(model, passed=passed)], lead)
    line = "The model misses findings (AUROC 0.85, its data set needs more), so maps of it cannot"
    assert (line in text) == (passed is False)


def test_few_cases_are_a_caveat(judged: Judge) -> None:
    few = [replace(r, n=6) for r in scored("pixel_ap", gvr=0.9, lime=0.5, edge=0.1)]
    assert judged(few).endswith("Only 6 cases: too few to rank 3 explainers by significance tests.")


def test_each_model_has_its_verdict(make_run: Callable[..., Path]) -> None:
    records = [
        replace(r, head=head, value=None if r.value is None else value)
        for head, value in (("linear", 0.5), ("mlp", 0.9))
        for r in [record(explainer=None, metric="auroc", low=0.45, high=0.95),
                  *scored("pixel_ap", gvr=0.9, lime=0.5, edge=0.1)]
    ]  # fmt: skip
    verdicts = load_report([make_run(records=records, n=1, size=8)]).verdicts
    assert [verdict.about for verdict in verdicts] == [
        "Explainers of wgan_gp · conv · linear on phantom",
        "Explainers of wgan_gp · conv · mlp on phantom",
    ]


def test_weak_model_is_no_caveat_of_another(make_run: Callable[..., Path]) -> None:
    models = [
        record(explainer=None, metric="auroc", head=head, value=value, low=value, high=value)
        for head, value in (("linear", 0.5), ("mlp", 0.9))
    ]
    lead = scored("pixel_ap", gvr=0.9, lime=0.5, edge=0.1)
    records = [*models, *(replace(r, head=head) for head in ("linear", "mlp") for r in lead)]
    weak, good = load_report([make_run(records=records, n=1, size=8)]).verdicts
    assert "The model is at chance (AUROC 0.50)" in weak.text
    assert "The model" not in good.text


def test_seeds_share_one_verdict(tmp_path: Path) -> None:
    boards = [whole_scoreboard(seed) for seed in (0, 1, 2)]
    (verdict,) = load_report([write_whole_run(tmp_path / "run", *boards)]).verdicts
    assert verdict.about == ""
    assert verdict.text.startswith("gvr leads on ground truth: case-specific correlation 0.7")


def test_largest_verdict_stays_short(tmp_path: Path) -> None:
    (verdict,) = load_report([write_whole_run(tmp_path / "run", whole_scoreboard())]).verdicts
    assert len(verdict.text.split()) <= MAX_WORDS
    assert not [name for name in CONTROLS if f"{name} leads" in verdict.text]
