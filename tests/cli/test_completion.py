"""What a shell asks when somebody presses tab."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from gvr_bench.config.experiments import experiments
from gvr_bench.registry.names import collectives
from gvr_bench.registry.registry import installed

ASK = (
    "import atexit, sys\n"
    "atexit.register(lambda: sys.stderr.write('torch' if 'torch' in sys.modules else ''))\n"
    "sys.argv = ['gvr-bench']\n"
    "from gvr_bench.cli.main import main\n"
    "main()\n"
)


def completed(line: str, shell: str = "bash") -> tuple[list[str], str]:
    """The lines that a shell gets for a line with the cursor at its end, and what was loaded."""
    words = line.split(" ")
    asked = {
        "_GVR_BENCH_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=os.environ | asked, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else [], done.stderr


def starting(names: Sequence[str], start: str) -> list[str]:
    return [name for name in names if name.startswith(start)]


@pytest.mark.parametrize(
    ("option", "kind", "start"),
    [
        ("--dataset", "dataset", "m"),
        ("--pretrain-dataset", "dataset", "p"),
        ("--generator", "generator", ""),
        ("--encoder", "encoder", "c"),
        ("--head", "head", "r"),
        ("--explainer", "explainer", "g"),
    ],
)
def test_component_names_complete_without_torch(option: str, kind: str, start: str) -> None:
    found, loaded = completed(f"gvr-bench run {option} {start}")
    families = collectives(installed().plugins("explainer")) if kind == "explainer" else ()
    assert found == starting([*installed().names(kind), *families], start)
    assert found
    assert loaded == ""


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("gvr-bench run --explainer zz", []),
        ("gvr-bench run --explainer counterfactual", ["counterfactual-cam", "counterfactual"]),
        ("gvr-bench plugins info grad-cam-", ["grad-cam-plus-plus"]),
        ("gvr-bench plugins check torch-", ["torch-model"]),
        ("gvr-bench run --metrics sim", ["simulatability"]),
        ("gvr-bench run --metrics al", ["all"]),
        ("gvr-bench experiments run mn", ["mnist-9-to-4"]),
        ("gvr-bench experiments run ", [item.name for item in experiments()]),
        ("gvr-bench datasets info dig", ["digits"]),
        ("gvr-bench run --pret", ["--pretrain-dataset"]),
        ("gvr-bench exper", ["experiments"]),
    ],
)
def test_other_names_are_completed(line: str, wanted: list[str]) -> None:
    assert completed(line) == (wanted, "")


def test_completions_have_descriptions() -> None:
    found, _ = completed("gvr-bench run --explainer rando", "fish")
    assert found[0].startswith("random\tcontrol: noise")
    found, _ = completed("gvr-bench run --explainer rando", "zsh")
    assert '"random":"control' in found[0]


def test_settings_are_completed_behind_a_colon() -> None:
    line = "gvr-bench run --explainer rise:samples=9,ce"
    found, _ = completed(line, "fish")
    assert [text.split("\t")[0] for text in found] == ["rise:samples=9,cells="]
    assert "int, ≥ 1, 7: of the grid" in found[0]
    assert completed("gvr-bench run --explainer nothing:s", "fish")[0] == []


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gvr_bench", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("gvr-bench ")
