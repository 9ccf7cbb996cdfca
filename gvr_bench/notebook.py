"""Finished runs in Python, as notebooks show them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import pandas as pd
from rich.console import Console

from gvr_bench.config.spec import build_spec
from gvr_bench.core.errors import UsageError
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.process_group import are_several
from gvr_bench.pipeline.run import RunRequest, run_request
from gvr_bench.report.cases import maps
from gvr_bench.report.cases.case_view import view_case
from gvr_bench.report.cases.cases_file import Combination
from gvr_bench.report.chosen_table import chosen
from gvr_bench.report.data import ReportData, load_report
from gvr_bench.report.html import write_html
from gvr_bench.results.case_scores import MODEL
from gvr_bench.results.records import model_label
from gvr_bench.results.run_folder import check_run, read_results

if TYPE_CHECKING:
    from gvr_bench.explain import Trained

Names: TypeAlias = str | Sequence[str] | None


@dataclass(frozen=True, eq=False)
class Case:
    """One case with the maps of all models of a run; a notebook shows it as a picture."""

    name: str
    models: tuple[tuple[Combination, int], ...]

    def _repr_html_(self) -> str:
        return "".join(_shown(c, i) for c, i in self.models)


def _shown(c: Combination, i: int) -> str:
    """The maps of case `i`, and a line for each explainer that makes counterfactuals."""
    case, of = view_case(c, i), maps.view(c, [i])
    columns = ["image", *of.columns]
    images = [f'<img src="{tile.source}" alt="" width="128">' for tile in of.rows[0].tiles]
    lines = [
        f"{of.title}: {case.title} predicted {case.prediction}, label {case.label}",
        *(f"{line.explainer}: {line.text}" for line in case.lines),
    ]
    return "".join([
        f"<p>{'<br>'.join(map(html.escape, lines))}</p>",
        "<table><tr>", *(f"<th>{html.escape(name)}</th>" for name in columns), "</tr>",
        "<tr>", *(f"<td>{image}</td>" for image in images), "</tr></table>",
    ])  # fmt: skip


class Run:
    """A finished run. Returned by `gvr_bench.open` and `gvr_bench.run`.

    `folder` is its folder, which also holds its page, `index.html`. A run stands for its folder
    wherever one is named, as in `gvr_bench.load(run, generator="vae")`.
    """

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = check_run(folder)
        self._cache = cache

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"<run {self.folder}>"

    @cached_property
    def _report(self) -> ReportData:
        return load_report([self.folder])

    @cached_property
    def records(self) -> pd.DataFrame:
        """The scores: one row per score, as `gvr_bench.read_results` returns them."""
        return read_results(self.folder)

    @cached_property
    def per_case(self) -> pd.DataFrame:
        """The scores of single cases: one row per model, explainer and case, one column per metric.

        NaN where a case has no score. The `case` is its name, or its number from 0 on where a run
        has more cases than it keeps images of. Raises `DataError` for a damaged run.
        """
        names = {(c.dataset, c.model, c.seed): c.sample_id for c in self._report.combinations}
        rows: dict[tuple[object, ...], dict[str, object]] = {}
        for (whose, metric), values in self._report.run.values.values.items():
            model = model_label(whose.generator, whose.encoder, whose.head)
            known = names.get((whose.dataset, model, whose.seed), ())
            for i, value in enumerate(values.tolist()):
                about = {"case": known[i] if i < len(known) else i}
                row = rows.setdefault((whose, i), {**whose._asdict(), **about})
                row[metric] = value
        return pd.DataFrame(list(rows.values()), columns=None if rows else [*MODEL, "explainer"])

    @property
    def verdict(self) -> str:
        """What each scoreboard shows, a paragraph each."""
        return "\n\n".join(
            f"{v.about}: {v.text}" if v.about else v.text for v in self._report.verdicts
        )

    def scoreboard(
        self, columns: Sequence[str] = (), explainers: Sequence[str] = ()
    ) -> pd.DataFrame:
        """The mean scores of the explainers: a row each, the best first and controls last.

        `columns` and `explainers` choose metrics and rows and their order, by default all. Rows
        also name data set and model where there are several. Raises `UsageError` for what the run
        does not have, and `DataError` for a damaged run.
        """
        table = chosen(self._report.boards, columns, explainers)
        metrics = [column.metric for column in table.columns]
        rows = [(*row.names, *(cell.value for cell in row.cells)) for row in table.rows]
        frame = pd.DataFrame(rows, columns=[*table.headings, *metrics])
        return frame.set_index(list(table.headings)).astype(float)

    @cached_property
    def cases(self) -> Mapping[str, Case]:
        """The cases whose images the run keeps, by name. Raises `DataError` for damaged ones."""
        models_of: dict[str, list[tuple[Combination, int]]] = {}
        for c in self._report.combinations:
            for i, name in enumerate(c.sample_id):
                models_of.setdefault(name, []).append((c, i))
        return {name: Case(name, tuple(models)) for name, models in models_of.items()}

    @cached_property
    def model(self) -> Trained:
        """The run's model, to explain new images: `run.model.explain("chest.png")`.

        Raises `UsageError` where the run has several: `gvr_bench.load(run, generator=...)` opens
        one of them.
        """
        from gvr_bench.explain import load

        return load(self.folder, cache=self._cache)


def open_run(run: str | PathLike[str], *, cache: str | PathLike[str] | None = None) -> Run:
    """Open the folder of a finished run.

    `cache` is where the run's models are stored, by default `$GVR_BENCH_CACHE` or the user's cache;
    only `model` needs it. Raises `DataError` where there is no such run.
    """
    return Run(Path(run), Path(cache) if cache else None)


def run(
    spec: str | PathLike[str] | None = None,
    *,
    dataset: Names = None,
    pretrain_dataset: Names = None,
    generator: Names = None,
    encoder: Names = None,
    head: Names = None,
    explainer: Names = None,
    controls: bool | None = None,
    metrics: Names = None,
    data_root: str | PathLike[str] | None = None,
    profile: Literal["quick", "standard", "paper"] | None = None,
    seed: int | Sequence[int] | None = None,
    max_cases: int | None = None,
    device: str = "auto",
    batch_size: int = 128,
    recompute: Names = None,
    cached_only: bool = False,
    workers: int | None = None,
    out: str | PathLike[str] | None = None,
    cache: str | PathLike[str] | None = None,
    quiet: bool = False,
) -> Run:
    """Train what is missing, explain the test images, score, and write the run's folder and page.

    The arguments are the options of the command `gvr-bench run`; one that is repeated there is a
    list here, as in `explainer=["gvr", "saliency"]`. Progress goes to stderr unless the run is
    `quiet`. A stage that fails leaves scores of status `failed`; those that do not need it go on.

    Raises `GvrError` for bad input, and where the run cannot go on.
    """
    if are_several():
        raise UsageError("gvr_bench.run is one process; under torchrun start gvr-bench run")
    flags = {
        "controls": controls, "metrics": _listed(metrics), "profile": profile,
        "data_root": str(data_root) if data_root else None, "max_cases": max_cases,
        "seeds": [seed] if isinstance(seed, int) else seed,
    }  # fmt: skip
    choices = {
        "dataset": dataset, "pretraining_dataset": pretrain_dataset, "generator": generator,
        "encoder": encoder, "head": head, "explainer": explainer,
    }  # fmt: skip
    request = RunRequest(
        spec=build_spec(
            Path(spec) if spec else None, flags, {k: _listed(v) for k, v in choices.items()}
        ),
        out=Path(out) if out else None,
        cache_dir=Path(cache) if cache else None,
        device=device,
        batch_size=batch_size,
        recompute=tuple(_listed(recompute) or ()),
        cached_only=cached_only,
        workers=workers,
        quiet=quiet,
    )
    stop = Stop()
    with stop.listening():
        result = run_request(request, stop, Console(stderr=True, force_jupyter=False))
    assert result is not None  # as there is one process
    write_html(result.folder)
    result.notify_plugins()
    return Run(result.folder, request.cache_dir)


def _listed(names: Names) -> list[str] | None:
    """Names as the repeated option of a command; None for none."""
    return [names] if isinstance(names, str) else list(names or ()) or None
