"""A finished run, or several, as one page that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gvr_bench import __version__
from gvr_bench.cache.serialization import replacing
from gvr_bench.report import formatting as text
from gvr_bench.report.data import ReportData, load_report
from gvr_bench.report.page import Section, make_page, seeds_of
from gvr_bench.report.popovers import about
from gvr_bench.report.sections import OF_ONE_RUN, OF_SEVERAL_RUNS
from gvr_bench.results.records import NO_DECODER, model_label


def write_html(run: Path, loaded: ReportData | None = None) -> Path:
    """Write `index.html` into the folder of a run and return its path. Raises `DataError`."""
    return write_page(run / "index.html", render(run, loaded))


def write_shared_html(folders: Sequence[Path], out: Path, loaded: ReportData | None = None) -> Path:
    """Write a page with the scores of several runs in shared tables. Raises `DataError`."""
    return write_page(out, render_shared(folders, loaded))


def write_page(path: Path, page: str) -> Path:
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def render(folder: Path, loaded: ReportData | None = None) -> str:
    """The page as text: the same run gives the same bytes. Raises `DataError`.

    `loaded` is the run where it was read already.
    """
    data = loaded or load_report([folder])
    run, datasets = data.run, _datasets(data)
    it = run.experiment
    subtitles = [". ".join(filter(None, (it.figures, it.text)))] if it else []
    subtitles += [f"{name}: {line}" for name in datasets if (line := about("dataset", name))]
    return make_page(
        OF_ONE_RUN,
        data,
        version=run.environment.gvr_bench,
        title=it.title if it else ", ".join(datasets) or run.name,
        subtitles=subtitles,
        verdicts=data.verdicts,
        models=list(_models(data)),
        facts=list(_facts(data)),
    )


def _models(data: ReportData) -> Iterator[tuple[list[tuple[str, str]], str]]:
    kinds = ("generator", "encoder", "head")
    several = len(_datasets(data)) > 1
    labels = [(r.dataset, *(getattr(r, kind) for kind in kinds)) for r in data.run.records]
    for dataset, *parts in dict.fromkeys(labels):
        model = model_label(*parts)
        counts = [c.total for c in data.combinations if (c.dataset, c.model) == (dataset, model)]
        facts = [dataset] if several else []
        for table in data.models:
            if table.dataset == dataset:
                own = [s for s in table.scored("auroc") if model in (table.model, s[0].names[0])]
                for _, cell, value in own[:1]:
                    span = text.interval(cell, 2, " to ")
                    facts.append(f"AUROC {value:.2f}{f' ({span})' if span else ''}")
        facts += [text.count(max(counts), "case")] if any(counts) else []
        named = [pair for pair in zip(kinds, parts, strict=True) if pair[1] != NO_DECODER]
        yield named, ", ".join(facts)


def _facts(data: ReportData) -> Iterator[str]:
    run, where = data.run, data.run.environment
    if seeds := seeds_of(run):
        yield f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    if explainers := {r.explainer for r in run.records if r.explainer}:
        yield text.count(len(explainers), "explainer")
    started = where.started[:16].replace("T", " ")
    yield from filter(None, (started, text.duration(where.seconds), where.device))


def render_shared(
    folders: Sequence[Path],
    loaded: ReportData | None = None,
    sections: Sequence[Section] = OF_SEVERAL_RUNS,
) -> str:
    """The page of several runs as text. Raises `DataError`."""
    data = loaded or load_report(folders)
    n = len(data.runs)
    shared = " in shared tables, one for each protocol" if n > 1 else ""
    return make_page(
        sections,
        data,
        version=__version__,
        title=", ".join(_datasets(data)) or "Several runs",
        verdicts=data.verdicts,
        facts=[text.count(n, "run") + shared],
    )


def _datasets(data: ReportData) -> list[str]:
    return list(dict.fromkeys(r.dataset for run in data.runs for r in run.records))
