from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_up_run import SOME, Board, record, whole_scoreboard, write_whole_run

from gvr_bench.core.errors import DataError
from gvr_bench.report.run import Run, load
from gvr_bench.report.scoreboards import case_means, ranking, scoreboards
from gvr_bench.report.table_blocks import blocks
from gvr_bench.report.tables import Cell, Table
from gvr_bench.results.case_scores import RunValues

Make = Callable[..., Run]
AP = tuple(metric for metric in SOME if metric.name == "pixel_ap")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a run of whole scoreboards, one per seed, and load it."""
    return lambda name, *boards: load(write_whole_run(tmp_path / name, *boards))


def cells(table: Table, metric: str) -> dict[str, Cell]:
    at = [column.metric for column in table.columns].index(metric)
    return {row.names[0]: row.cells[at] for row in table.rows}


def ranks(table: Table, metric: str) -> dict[str, int | None]:
    return {name: cell.rank for name, cell in cells(table, metric).items()}


def with_settings(board: Board, settings: str) -> Board:
    """The same board as if gvr had been run with other settings."""
    records, run, protocols = board
    recipes = {
        key: settings if key[0].explainer == "gvr" else result
        for key, result in run.recipes.items()
    }
    return records, RunValues(run.values, recipes), protocols


def test_damaged_values_are_one_line(make: Make, tmp_path: Path) -> None:
    make("run", whole_scoreboard(metrics=AP))
    (tmp_path / "run" / "values.h5").write_bytes(b"cut off")
    with pytest.raises(DataError, match=r"cannot read .*values\.h5.* write it again with: gvr-"):
        load(tmp_path / "run")


def test_no_case_values_no_ranks(run: Path) -> None:
    (table,) = scoreboards([load(run)])
    assert {cell.rank for row in table.rows for cell in row.cells} == {None}
    assert {column.separated for column in table.columns} == {None}
    assert cells(table, "pixel_ap")["gvr"].best


def test_indistinguishable_explainers_share_ranks(ranked: Path) -> None:
    (table,) = scoreboards([load(ranked)])
    result = ranks(table, "pixel_ap")
    assert (result["gvr"], result["latent-shift"], result["gifsplanation"]) == (1, 2, 2)
    assert result["counterfactual-cam"] == 4
    assert cells(table, "pixel_ap")["latent-shift"].value != pytest.approx(
        cells(table, "pixel_ap")["gifsplanation"].value
    )


def test_all_of_rank_one_are_best(make: Make, tmp_path: Path) -> None:
    records, values, protocols = whole_scoreboard(metrics=AP)
    twin = {key: result for key, result in values.values.items() if key[0].explainer == "gvr"}
    twin = {
        (key._replace(explainer="latent-shift"), name): result - 1e-9
        for (key, name), result in twin.items()
    }
    save = RunValues({**values.values, **twin}, values.recipes)
    (table,) = scoreboards([make("run", (records, save, protocols))])
    best = [name for name, cell in cells(table, "pixel_ap").items() if cell.best]
    assert best == ["gvr", "latent-shift"]


def test_equal_ranks_have_no_best(make: Make) -> None:
    records, values, protocols = whole_scoreboard(metrics=AP)
    alike = dict.fromkeys(values.values, np.ones(100))
    (table,) = scoreboards([make("run", (records, RunValues(alike, {}), protocols))])
    assert set(ranks(table, "pixel_ap").values()) == {1}
    assert not any(cell.best for cell in cells(table, "pixel_ap").values())


def test_separated_columns_beat_every_control(ranked: Path) -> None:
    (table,) = scoreboards([load(ranked)])
    separated = {column.metric: column.separated for column in table.columns}
    assert (separated["pixel_ap"], separated["mass_accuracy"]) == (True, False)
    assert separated["validity"] is None  # no control makes a counterfactual
    clear = {name: cell.clear for name, cell in cells(table, "pixel_ap").items()}
    assert (clear["gvr"], clear["cam"], clear["edge"]) == (True, False, None)


def test_time_is_not_ranked(ranked: Path) -> None:
    (table,) = scoreboards([load(ranked)])
    assert set(ranks(table, "seconds_per_image").values()) == {None}
    assert cells(table, "seconds_per_image")["gvr"].best


def test_seeds_are_averaged_before_ranking(make: Make) -> None:
    boards = [whole_scoreboard(seed, metrics=AP) for seed in (0, 1, 2)]
    (table,) = scoreboards([make("run", *boards)])
    cell = cells(table, "pixel_ap")["gvr"]
    means = [record.value for records, _, _ in boards for record in records
             if (record.explainer, record.metric) == ("gvr", "pixel_ap")]  # fmt: skip
    assert (cell.seeds, cell.rank) == ((0, 1, 2), 1)
    assert cell.spans == "seeds and cases"
    assert cell.low < min(means) < max(means) < cell.high
    assert cell.value == pytest.approx(sum(means) / 3)  # type: ignore[arg-type]


def test_a_seed_without_values_unranks(make: Make) -> None:
    with_values, bare = (whole_scoreboard(seed, metrics=AP) for seed in (0, 1))
    lost = {key: v for key, v in bare[1].values.items() if key[0].explainer != "gvr"}
    (table,) = scoreboards([make("run", with_values, (bare[0], RunValues(lost, {}), bare[2]))])
    result = ranks(table, "pixel_ap")
    assert (result["gvr"], result["latent-shift"]) == (None, 1)


def test_seeds_of_runs_are_one_row(make: Make) -> None:
    runs = [make(f"run-{seed}", whole_scoreboard(seed, metrics=AP)) for seed in (0, 1)]
    (table,) = scoreboards(runs)
    assert len(table.rows) == 12
    assert cells(table, "pixel_ap")["gvr"].seeds == (0, 1)


def test_other_settings_are_never_averaged(make: Make) -> None:
    ours = make("ours", whole_scoreboard(0, metrics=AP))
    theirs = make("theirs", with_settings(whole_scoreboard(1, metrics=AP), "other"))
    (table,) = scoreboards([ours, theirs])
    result = cells(table, "pixel_ap")
    assert {name: cell.seeds for name, cell in result.items() if name.startswith("gvr")} == {
        "gvr [ours]": (0,), "gvr [theirs]": (1,),
    }  # fmt: skip
    assert result["lime"].seeds == (0, 1)
    assert result["gvr [ours]"].rank == result["gvr [theirs]"].rank == 1


def test_other_oracles_are_never_averaged(make: Make) -> None:
    metrics = [metric for metric in SOME if metric.name in ("pixel_ap", "oracle_validity")]
    ours = make("ours", whole_scoreboard(0, metrics=metrics))
    records, run, protocols = whole_scoreboard(1, metrics=metrics)
    judged = {key: r + "-new" if key[1] == "oracle" else r for key, r in run.recipes.items()}
    theirs = make("theirs", (records, RunValues(run.values, judged), protocols))
    (table,) = scoreboards([ours, theirs])
    assert {cell.seeds for cell in cells(table, "oracle_validity").values()} == {(0,), (1,), ()}


def scores(*seeds: float) -> list[SimpleNamespace]:
    """Scores of 20 cases with each seed."""
    noise = np.random.default_rng(0).normal(0, 0.02, (len(seeds), 20))
    return [
        SimpleNamespace(status="ok", seed=seed, values=value + np.arange(20) / 1000 + noise[seed])
        for seed, value in enumerate(seeds)
    ]


def ranks_of(rows: dict[str, list[SimpleNamespace]]) -> dict[str, int]:
    return ranking(rows, case_means(rows, "pixel_ap"), "up", ()).ranks


@pytest.mark.parametrize(
    ("of_a", "ranks"),
    [
        ((0.9, 0.92, 0.91), {"a": 1, "b": 2}),
        ((0.3, 0.99, 0.35), {"a": 1, "b": 1}),  # one lucky seed, though its mean is higher
    ],
)
def test_seeds_vary_what_is_ranked(of_a: tuple[float, ...], ranks: dict[str, int]) -> None:
    assert ranks_of({"a": scores(*of_a), "b": scores(0.4, 0.4, 0.4)}) == ranks


def test_one_seed_is_ranked_over_cases() -> None:
    assert ranks_of({"a": scores(0.9), "b": scores(0.4)})["b"] == 2
    assert ranks_of({"a": scores(0.9), "b": scores(0.4, 0.4)})["b"] == 1


def test_protocols_say_how_they_differ(make: Make) -> None:
    runs = [make(f"run-{n}", whole_scoreboard(n=n, limit=n, metrics=AP)) for n in (20, 50)]
    first, second = scoreboards(runs)
    assert first.apart == ("Not comparable with protocol 2: max_cases: 20 here, 50 there.",)
    assert second.apart == ("Not comparable with protocol 1: max_cases: 50 here, 20 there.",)


def test_unknown_protocols_are_apart(make_run: Make) -> None:
    folders = [
        make_run(name, records=[record(protocol=name)], n=1, size=8)  # type: ignore[call-arg]
        for name in ("a", "b")
    ]
    first, _ = scoreboards([load(folder) for folder in folders])  # type: ignore[arg-type]
    assert "the runs do not record what differs" in first.apart[0]


def test_metric_versions_are_named(make_run: Make) -> None:
    folders = [
        make_run(v, records=[record(protocol=v, metric_version=v)], n=1, size=8)  # type: ignore[call-arg]
        for v in ("1", "2")
    ]
    first, _ = scoreboards([load(folder) for folder in folders])  # type: ignore[arg-type]
    assert first.apart[0].endswith("version of pixel AP: 1 here, 2 there.")


def test_inapplicable_rows_are_listed_below(ranked: Path) -> None:
    (table,) = scoreboards([load(ranked)])
    result = {block.group.name: block for block in blocks(table)}
    assert list(result) == ["truth", "validity", "oracle", "proximity", "cost"]
    assert [len(block.table.rows) for block in result.values()] == [12, 4, 4, 4, 12]
    (line,) = result["oracle"].left_out
    assert line.startswith("makes no counterfactual: occlusion, saliency, integrated-gradients")
    assert line.endswith("intensity, edge, random")


def test_failed_rows_stay_in_their_block(ranked: Path) -> None:
    (table,) = scoreboards([load(ranked)])
    rows = tuple(
        replace(row, cells=tuple(replace(cell, status="failed") if cell.value is None else cell
                                 for cell in row.cells))
        for row in table.rows
    )  # fmt: skip
    oracle = next(b for b in blocks(replace(table, rows=rows)) if b.group.name == "oracle")
    assert (len(oracle.table.rows), oracle.left_out) == (12, ())


def test_without_ground_truth_the_oracle_leads(make: Make) -> None:
    rest = [metric for metric in SOME if metric.group != "truth"]
    (table,) = scoreboards([make("run", whole_scoreboard(metrics=rest))])
    assert blocks(table)[0].group.name == "oracle"
    assert [row.names[0] for row in table.rows][:2] == ["gvr", "latent-shift"]
