"""What `plugins info` shows of components."""

from __future__ import annotations

import json

import pytest

from gvr_bench.config.spec import parse_choice
from gvr_bench.registry.description import describe
from gvr_bench.registry.names import option_of
from gvr_bench.registry.registry import PROFILES, installed

ROWS = [row for row in installed().rows if not row.problem]


def info_of(cli, *typed: str) -> dict:
    done = cli("plugins", "info", *typed, "--json")
    assert done.code == 0, done
    return json.loads(done.out)


def test_facts_of_a_method_are_shown(cli) -> None:
    shown = " ".join(cli("plugins", "info", "RISE").out.split())
    assert shown.startswith("explainer rise: mean output over random masks")
    assert "500 forward (quick); 2000 forward (standard); 4000 forward (paper)" in shown
    assert "Petsiuk et al. 2018" in shown
    assert "a run that names it, its family or all" in shown
    assert "Example: gvr-bench run --explainer rise:samples=4000" in shown


def test_json_has_settings_by_profile(cli) -> None:
    info = info_of(cli, "lime")
    assert info["passes"] == {profile: f"{n} forward" for profile, n in
                              zip(PROFILES, (300, 1000, 1000), strict=True)}  # fmt: skip
    samples = next(s for s in info["settings"] if s["name"] == "samples")
    assert samples["values"] == {"quick": "300", "standard": "1000", "paper": "1000"}
    assert samples["type"] == "int, ≥ 2"
    assert samples["meaning"].startswith("perturbed images")


def test_alias_and_other_kinds_are_known(cli) -> None:
    assert info_of(cli, "shap")["name"] == "kernel-shap"
    assert info_of(cli, "phantom")["kind"] == "dataset"
    assert info_of(cli, "torch-model", "--kind", "head")["kind"] == "head"


def test_unclear_names_end_with_one_line(cli) -> None:
    unknown = cli("plugins", "info", "grad-camm")
    assert (unknown.code, unknown.out) == (2, "")
    assert "did you mean 'grad-cam'?" in unknown.err
    several = cli("plugins", "info", "torch-model")
    assert several.code == 2
    assert "--kind" in several.err


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.plugin.kind}-{row.plugin.name}")
def test_examples_can_be_typed(row) -> None:
    kind = row.plugin.kind
    if row.plugin.name == "quantus":
        pytest.importorskip("quantus", reason="pip install 'gvr-bench[quantus]'")
    info = describe(installed(), kind, row.plugin.name)
    *_, option, typed = info.example.split()
    assert option == option_of(kind)
    if "VALUE" not in typed:
        choice = parse_choice(typed)
        _, settings = installed().settings(kind, choice.name, "quick", choice.settings)
        (chosen,) = choice.settings or {None: None}
        assert chosen is None or chosen in settings.model_fields_set


def test_every_setting_of_explainers_has_a_meaning() -> None:
    for row in ROWS:
        if row.plugin.family:
            info = describe(installed(), "explainer", row.plugin.name)
            assert all(setting.meaning for setting in info.settings), info.name
            assert info.source or info.selection == "name", info.name
