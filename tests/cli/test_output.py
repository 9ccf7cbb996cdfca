"""Stdout has the results of a command and nothing else, whatever plugins print."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from PIL import Image
from tiny import ROWS, Packages, command

from gvr_bench.registry.registry import GROUP, Registry

CHATTY = "import sys\nprint('made-up licence')\n"
EXPLAINER = """
import gvr_bench.api as gvr
print("made-up banner")

class Made(gvr.Explainer):
    def explain(self, model, x, target, ctx):
        print("made-up progress")
        return gvr.Explanation(attribution=x.mean(dim=1))
"""
TYPED = [sys.executable, "-m", "gvr_bench"]


@pytest.fixture
def chatty(packages: Packages, use_packages: Callable[[], None]) -> str:
    """An installed explainer that prints when it is imported and whenever it explains."""
    rows = ROWS.format(api=1, kind="explainer", name="chatty", target="chatty_parts:Made", needs=())
    packages.add("chatty", CHATTY + rows, chatty_parts=EXPLAINER)
    use_packages()
    return "chatty"


def test_plugins_print_to_stderr(cli, packages, chatty: str, capsys, monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, chatty)
    packages.registry()
    assert capsys.readouterr() == ("", "made-up licence\n")
    done = cli(*command("--json", "--out", "run", explainer=chatty))
    assert done.code == 0, done
    assert chatty in str(json.loads(done.out))
    assert "made-up banner" in done.err
    assert "made-up progress" in done.err
    done = cli("explain", photo(), "--run", "run", "--output", "BNP", "--json")
    assert json.loads(done.out)["images"]
    assert "made-up progress" in done.err


def photo() -> Path:
    Image.effect_noise((32, 32), 80).save("photo.png")
    return Path("photo.png")


def test_absent_explainer_is_left_out(cli, chatty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = cli(*command("--out", "run", explainer=[chatty, "saliency"]))
    only = cli(*command("--out", "only", explainer=chatty))
    assert (both.code, only.code) == (0, 0)
    left = Registry([p for p in entry_points(group=GROUP) if p.value != chatty])
    monkeypatch.setattr("gvr_bench.registry.registry.installed", lambda: left)
    explain = ("explain", photo(), "--output", "BNP", "--run")
    done = cli(*explain, "run")
    assert done.code == 0, done
    assert "saliency" in done.out
    assert "left out, for they are not installed: chatty" in done.err
    assert "not installed: chatty; name another explainer" in cli(*explain, "only").fault
    assert cli(*explain, "only", "--explainer", "saliency").code == 0
    assert "unknown explainer 'chatty'" in cli(*explain, "run", "--explainer", chatty).fault


def test_full_disk_behind_stdout_gets_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*TYPED, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (
        2,
        "error: cannot write the output: No space left on device\n",
    )


def test_reader_may_stop_reading() -> None:
    both = f"{sys.executable} -m gvr_bench plugins list --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", both], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_ctrl_c_while_modules_load_is_quiet() -> None:
    code = """
import signal, sys
import gvr_bench.__main__ as command

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "gvr_bench.cli.main":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
command.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-2, "", "")
