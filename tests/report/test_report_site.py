"""A site of several runs: whole, of one protocol, and with links that lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from made_up_run import ENVIRONMENT, SOME, whole_scoreboard, write_whole_run

from gvr_bench.core.errors import UsageError
from gvr_bench.report.data import load_report
from gvr_bench.report.site import check, write_site


def make(folder: Path, *stages: dict[str, str], seed: int = 0, limit: int = 100) -> Path:
    run = write_whole_run(folder, whole_scoreboard(seed, limit=limit, metrics=SOME))
    about = ENVIRONMENT | {"stages": stages}
    (run / "environment.json").write_text(json.dumps(about), encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    runs = [make(folder / "a" / "run"), make(folder / "b" / "run", seed=1)]
    return write_site(runs, folder / "out").parent


def test_links_lead_to_pages(site: Path) -> None:
    linked = re.findall(r'href="([^"#:]+)"', (site / "index.html").read_text(encoding="utf-8"))
    pages = {str(path.relative_to(site)) for path in site.rglob("*.html")}
    assert set(linked) == pages - {"index.html"}
    assert "methods/gvr.html" in pages
    assert len([page for page in pages if page.startswith("runs/")]) == 2
    back = (site / "methods" / "gvr.html").read_text(encoding="utf-8")
    assert 'href="../index.html"' in back


def test_method_page_says_what_it_is(site: Path) -> None:
    text = (site / "methods" / "gvr.html").read_text(encoding="utf-8")
    assert "Generative visual rationale" in text
    assert "learning_rate" in text
    assert 'data-metric="pixel_ap"' in text


def test_run_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path / "run", {"kind": "explanations", "name": "lime", "status": "failed"})
    with pytest.raises(UsageError, match="not whole: explanations lime failed"):
        write_site([run], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (run / "values.h5").unlink()
    with pytest.raises(UsageError, match=r"not whole: it has no values\.h5"):
        write_site([run], tmp_path / "out")


def test_explainer_that_does_not_apply_is_accepted(tmp_path: Path) -> None:
    about = {"name": "lrp", "reason": "no rule for silu"}
    stages = [{"kind": "explanations", "status": "n/a"}, {"kind": "scores", "status": "skipped"}]
    run = make(tmp_path / "run", *(about | stage for stage in stages))
    check(load_report([run]))


def test_several_protocols_are_refused(tmp_path: Path) -> None:
    runs = [make(tmp_path / "run"), make(tmp_path / "other", seed=1, limit=50)]
    path = runs[1] / "protocols.json"
    path.write_text(path.read_text().replace('"dataset.size": 64', '"dataset.size": 32'))
    with pytest.raises(UsageError, match=r"several protocols.*dataset\.size"):
        write_site(runs, tmp_path / "out")
