from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import (
    ENVIRONMENT,
    SOME,
    missing,
    record,
    whole_scoreboard,
    write_cases,
    write_whole_run,
)

from gvr_bench.metrics import DECLARED
from gvr_bench.report.data import load_report
from gvr_bench.report.formatting import sentence
from gvr_bench.report.html import render, render_shared, write_shared_html

Make = Callable[..., Path]


class Page(HTMLParser):
    """All tags with their attributes, and the text that is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.shown += data

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag in names]


@pytest.fixture(scope="session")
def page(run: Path) -> Page:
    return Page(render(run))


def cases_of(page: Page) -> list[dict[str, str | None]]:
    """The cases of the gallery."""
    return [item for item in page.all("details") if item.get("class") == "case"]


def words(text: str) -> str:
    return " ".join(text.split())


HOSTILE = "<script>alert('1')</script>\"&' 🫁 \u202eabc \u05d0\u05d1"


def test_names_and_reasons_cannot_become_markup(make_run: Make) -> None:
    folder = make_run(
        records=[
            record(explainer=HOSTILE, dataset=HOSTILE, head=HOSTILE),
            missing("failed", HOSTILE, explainer="gvr", dataset=HOSTILE, head=HOSTILE),
            record(explainer=None, metric=HOSTILE, output=HOSTILE, dataset=HOSTILE, head=HOSTILE),
        ],
        n=1,
        size=8,
        dataset=HOSTILE,
        head=HOSTILE,
        unit=HOSTILE,
        outputs=json.dumps([HOSTILE]),
    )
    (folder / "spec.toml").write_text(f"# {HOSTILE}", encoding="utf-8")
    stage = {"kind": HOSTILE, "name": HOSTILE, "key": HOSTILE, "status": "failed"}
    facts = dict.fromkeys(ENVIRONMENT, HOSTILE) | {"seconds": 1, "stages": [stage]}
    (folder / "environment.json").write_text(json.dumps(facts), encoding="utf-8")
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/sample_id"]
        file["0/sample_id"] = [HOSTILE]
        file["0/explainers/lime"].attrs["reason"] = HOSTILE
    hostile = Page(render(folder))
    assert len(hostile.all("script")) == len(
        Page(render(make_run("plain", n=1, size=8))).all("script")
    )
    assert "<script>alert('1')</script>" in hostile.shown
    handlers = [name for _, attrs in hostile.tags for name in attrs if name.startswith("on")]
    assert handlers == []


def test_the_page_loads_nothing(page: Page) -> None:
    links = [
        attrs[name] or ""
        for _, attrs in page.tags
        for name in ("src", "href", "srcset", "data", "poster", "action")
        if name in attrs
    ]
    assert links
    assert {link.split(":")[0] if ":" in link else link[:1] for link in links} == {"data", "#"}


def test_the_style_sheet_loads_nothing(run: Path) -> None:
    style = re.findall(r"<style>(.*?)</style>", render(run), re.DOTALL)[0]
    assert "url(" not in style
    assert "@import" not in style


def test_policy_allows_only_own_files(run: Path) -> None:
    text = render(run)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    allowed = {
        kind: {f"'sha256-{_digest(own)}'" for own in re.findall(pattern, text, re.DOTALL)}
        for kind, pattern in (
            ("style", r"<style>(.*?)</style>"),
            ("script", r"<script(?: type=\"module\")?>(.*?)</script>"),
        )
    }
    directives = {rule.split()[0]: set(rule.split()[1:]) for rule in policy.split("; ")}
    assert directives == {
        "default-src": {"'none'"},
        "img-src": {"data:"},
        "style-src": allowed["style"],
        "script-src": allowed["script"],
        "base-uri": {"'none'"},
        "form-action": {"'none'"},
    }
    assert not [attrs for _, attrs in Page(text).tags if "style" in attrs]


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_internal_links_have_targets(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {(attrs["href"] or "")[1:] for attrs in page.all("a")}
    named = [attrs["aria-labelledby"] for _, attrs in page.tags if "aria-labelledby" in attrs]
    labels = {label for labels in named for label in (labels or "").split()}
    assert (targets | labels) <= set(ids)


def test_every_picture_has_an_alternative_text(page: Page) -> None:
    images = page.all("img")
    assert len(images) > 12 * 12
    decorative = [image for image in images if image.get("class") == "contour"]
    named = [image for image in images if image["alt"]]
    assert len(images) - len(named) == len(decorative) + 12  # beside the names of the cases
    assert all((image["src"] or "").startswith("data:image/") for image in images)


def test_scroll_areas_take_keyboard_focus(page: Page) -> None:
    boxes = [attrs for _, attrs in page.tags if attrs.get("class") == "scroll"]
    labels = [box.get("aria-label") or box["aria-labelledby"] for box in boxes]
    board = "Explainers of wgan_gp · conv · linear on phantom"
    assert {f"{board}, one score per question", f"{board}, Ground truth"} <= set(labels)
    assert len(labels) == len(set(labels))
    assert all(box["tabindex"] == "0" and box["role"] in ("region", "group") for box in boxes)


def test_page_shows_numbers_and_reasons(page: Page) -> None:
    text = words(page.shown)
    assert "0.884 best 0.844 to 0.924" in text
    assert "failed: lime: captum is not installed" in text
    assert (
        "n/a: layer_gradcam, saliency (true-change correlation): its attribution has no sign"
        in text
    )
    assert "makes no counterfactual: occlusion, integrated_gradients, layer_gradcam" in text
    assert "explainer lime failed: captum is not installed: pip install captum" in text


def test_cases_show_result_or_reason(page: Page) -> None:
    text = words(page.shown)
    assert re.search(r"[\d,]+ ng/L → [\d.]+ ng/L, re-encoded [\d.]+ ng/L · \d+ steps", text)
    assert (
        text.count("500 steps · decision not changed: 500 steps were not enough: raise steps or lr")
        == 2
    )
    assert "what would bring the predicted BNP below 100 ng/L?" in text


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 100])
def test_images_of_any_size_and_colour(make_run: Make, size: int, channels: int) -> None:
    folder = make_run(n=2, size=size)
    with h5py.File(folder / "cases.h5", "a") as file:
        for name in ("input", "reconstruction", "samples", "explainers/gvr/counterfactual"):
            data = file[f"0/{name}"][:]
            del file[f"0/{name}"]
            file[f"0/{name}"] = np.repeat(data, channels, axis=1)
    images = Page(render(folder)).all("img")
    assert len(images) > 2 * 12


def test_multiclass_cases_name_classes(make_run: Make) -> None:
    folder = make_run(records=[], n=2, size=8, kind="multiclass",
                      outputs=json.dumps(["four", "nine"]), unit="", threshold=np.nan)  # fmt: skip
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/source_class"][:] = 1
        file["0/label"][:] = 1
        file["0/prediction"][:] = 0.93
    text = words(Page(render(folder)).shown)
    assert "what would turn nine into four?" in text
    assert "predicted nine: 0.93, label nine" in text


def test_failed_model_still_has_page(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        for name in list(file["0"]):
            if name != "explainers":
                del file[f"0/{name}"]
        for explainer in file["0/explainers"].values():
            explainer.attrs["status"], explainer.attrs["reason"] = "failed", "no generator"
            for name in list(explainer):
                del explainer[name]
    text = words(Page(render(folder)).shown)
    assert "No cases: the data of this model did not load." in text
    assert "gvr: failed: no generator" in text


def test_cases_without_explanations_are_shown(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        for name in ("reconstruction", "prediction", "true_change", "mask", "explainers"):
            del file[f"0/{name}"]
    assert len(cases_of(Page(render(folder)))) == 1


def test_nonfinite_map_is_drawn_empty(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/explainers/saliency/attribution"][:] = np.nan
        file["0/explainers/random/attribution"][:] = 0
    assert len(cases_of(Page(render(folder)))) == 1


def test_page_shows_many_combinations(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(n=12, size=8)
    write_cases(tmp_path / "one.h5", n=12, size=8)
    with h5py.File(folder / "cases.h5", "a") as file, h5py.File(tmp_path / "one.h5") as single:
        for number in range(1, 6):
            single.copy("0", file, str(number))
    assert len(cases_of(Page(render(folder)))) == 6 * 12


@pytest.mark.parametrize(("models", "opened"), [(2, []), (3, [True, False, False])])
def test_boards_of_many_models_are_folded(make_run: Make, models: int, opened: list[bool]) -> None:
    heads = [f"head-{i}" for i in range(models)]
    records = [record(head=h, explainer=e) for h in heads for e in ("gvr", "lime")]
    text = render(make_run(records=records, n=1, size=8))
    boards = re.findall(r'<details class="board"( open)?>\n<summary><h3 id="e', text)
    assert [bool(opened) for opened in boards] == opened
    assert all(f'<h3 id="e{i + 1}">' in text for i in range(models))


def test_same_run_gives_same_page(run: Path) -> None:
    assert render(run) == render(run)


def test_spec_is_shown_verbatim(page: Page, run: Path) -> None:
    assert (run / "spec.toml").read_text(encoding="utf-8") in page.shown


def test_the_title_is_the_data_set(run: Path) -> None:
    assert "<title>phantom – gvr-bench</title>" in render(run)


def test_scores_are_explained_twice(ranked: Path) -> None:
    text = render(ranked)
    metric = DECLARED["pixel_ap"]
    (popover,) = re.findall(r"popover><strong><bdi>pixel AP</bdi></strong>(.*?)</div>", text)
    for part in (metric.formula, "0 to 1; higher is better", metric.fooled_by, metric.source):
        assert words(part) in words(Page(popover).shown)
    shown = words(Page(text).shown.partition("what each score means")[2])
    assert f"pixel AP pixel_ap {sentence(metric.meaning)}" in shown
    assert words(metric.formula) in shown


def test_groups_ranks_and_uninformative_columns(ranked: Path) -> None:
    page = Page(render(ranked))
    text = words(page.shown)
    assert "Ground truth does the map show what is truly there?" in text
    assert "0.692 rank 2 0.667 to 0.715" in text
    assert "†: no explainer beats all controls" in text
    assert {a.get("data-metric") for a in page.all("th") if a.get("class") == "level"} == {
        "mass_accuracy"
    }
    assert "makes no counterfactual: occlusion, saliency" in text


def test_figures_have_text_alternatives(ranked: Path) -> None:
    page = Page(render(ranked))
    labels = [attrs["aria-label"] or "" for attrs in page.all("svg") if "aria-label" in attrs]
    assert "Quality against time" in words(page.shown)
    (label,) = [label for label in labels if label.startswith("Quality against time")]
    assert "gvr: time per image (s) ↓ 0.016, true-change correlation ↑ 0.749" in label


def test_shared_page_loads_nothing(ranked: Path, tmp_path: Path) -> None:
    board = whole_scoreboard(1, n=30, limit=30, metrics=SOME)
    other = write_whole_run(tmp_path / HOSTILE.replace("/", ""), board)
    path = write_shared_html([ranked, other], tmp_path / "shared.html")
    page = Page(path.read_text(encoding="utf-8"))
    text = words(page.shown)
    assert "2 runs in shared tables" in text
    assert "30 cases" in text
    assert "Not comparable" not in text
    assert not page.all("img")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {(a["href"] or "")[1:] for a in page.all("a")} <= set(ids)


def test_known_reason_replaces_possible_one(make_run: Make) -> None:
    """Of `A, or B` only A is left where the same explainer has A for another score."""
    reasons = ("makes no counterfactual", "makes no counterfactual, or the oracle sees none")
    records = [
        record(explainer="gvr", metric="oracle_validity"),
        record(explainer="gvr", metric="domain_fid"),
        *(
            missing("n/a", reason, explainer="saliency", metric=metric)
            for reason, metric in zip(reasons, ("domain_fid", "oracle_validity"), strict=True)
        ),
        missing("n/a", reasons[1], explainer="lime", metric="oracle_validity"),
        *(record(explainer=name, metric="pixel_ap") for name in ("saliency", "lime")),
    ]
    text = words(Page(render(make_run(records=records, n=1, size=8))).shown)
    assert "makes no counterfactual: saliency" in text
    assert "makes no counterfactual, or the oracle sees none: lime" in text
    assert "makes no counterfactual, makes" not in text


def test_repeated_stages_are_labelled_and_folded(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    stages = [
        {"kind": kind, "name": "gvr", "part": part, "key": "k", "status": "done", "seconds": 1}
        for kind, part in [("explanations", ""), ("scores", "truth"), ("scores", "cost")]
    ]  # fmt: skip
    text = json.dumps(ENVIRONMENT | {"stages": stages})
    (folder / "environment.json").write_text(text, encoding="utf-8")
    shown, _, folded = render(folder).partition('id="provenance"')[2].partition("<details")
    assert "explanations" in shown
    assert "truth" not in words(Page(shown).shown)
    assert "2 more: scores" in words(Page(folded).shown)
    assert "gvr, truth" in words(Page(folded).shown)


def test_bidirectional_name_is_isolated(make_run: Make) -> None:
    turned = "sali\u202eency"
    folder = make_run(n=1, size=8, records=[
        record(), record(explainer=turned),
        missing("failed", "out of memory", explainer=turned, metric="iou_otsu"),
        record(metric="iou_otsu"),
    ])  # fmt: skip
    shown = render(folder).partition("</main>")[0]
    assert "failed: saliency" in words(Page(shown).shown).replace("\u200b", "")
    assert "\u202e" not in Page(shown.replace(f'data-name="{turned}"', "")).shown


def test_verdict_is_the_first_text(run: Path) -> None:
    shown = words(Page(render(run)).shown).partition("with ground truth ")[2]
    assert shown.startswith(load_report([run]).verdicts[0].headline)


def test_shared_page_opens_with_verdicts(ranked: Path, run: Path) -> None:
    shown = words(Page(render_shared([ranked, run])).shown)
    judged = load_report([ranked, run]).verdicts
    assert len(judged) == 2
    places = [shown.find(f"{verdict.about}: {verdict.headline}") for verdict in judged]
    assert 0 < places[0] < places[1] < shown.index("2 runs in shared tables")


def test_head_line_tells_models_apart(make_run: Make) -> None:
    models = [
        record(explainer=None, metric="auroc", value=value, low=None, high=None, head=head)
        for head, value in (("linear", 0.86), ("mlp", 0.5))
    ]
    folder = make_run(records=[record(), record(head="mlp"), *models], n=2, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file.copy("0", "1")
        file["1"].attrs.update(head="mlp", total=7)
    text = words(Page(render(folder)).shown)
    assert re.search(r"wgan_gp · conv · linear\W*: \W*AUROC 0\.86, 2 cases", text)
    assert re.search(r"wgan_gp · conv · mlp\W*: \W*AUROC 0\.50, 7 cases", text)
    assert "The model is at chance (AUROC 0.50)" in text
