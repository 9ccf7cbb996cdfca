"""A network from elsewhere, from the command line to the scoreboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from tiny import command, outcomes_of, records_of

from gvr_bench import load
from gvr_bench.core.errors import UsageError

NETWORK = """
from torch import nn

def network(outputs=10):
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
                         nn.Flatten(), nn.Linear(32, outputs))
"""

SPEC = """
dataset = "digits"
max_cases = 2
metrics = ["validity", "sanity"]

[[head]]
name = "torch-model:cnn_of_digits:network"
weights = "cnn.safetensors"
size = 8
mean = [0.5]
std = [0.5]
"""


@pytest.fixture
def module(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The factory and its weights, in the working directory."""
    monkeypatch.delitem(sys.modules, "cnn_of_digits", raising=False)
    Path("cnn_of_digits.py").write_text(NETWORK)
    scope: dict[str, object] = {}
    exec(NETWORK, scope)
    torch.manual_seed(0)
    net = scope["network"]()
    save_file(net.state_dict(), "cnn.safetensors")


HEAD = "torch-model:cnn_of_digits:network"


@pytest.mark.parametrize(
    ("head", "stderr"),
    [
        (HEAD, "has 10 outputs and the task has 1 (BNP); select them in this order, e.g. "
               "outputs=0"),
        (f"{HEAD},outputs=0,channels=3", "cannot take 3 images of 1 x 32 x 32: RuntimeError: "),
        (f"{HEAD},arguments=outputs=1+width=2", "unexpected keyword argument 'width'"),
        (f"{HEAD},weights=nowhere.safetensors", "cannot read nowhere.safetensors: No such file"),
        ("torch-model:cnn_of_digits", "write it as module:function"),
        ("torch-model", "name a network: torch-model:my_module:my_function"),
        (f"{HEAD},sise=8", "has no setting 'sise'; did you mean 'size'?"),
        ("torch-model:file=cnn_of_digits.py", "is neither TorchScript nor a .pt2"),
    ],
)  # fmt: skip
def test_unfit_head_is_refused_before_training(
    cli, module, tmp_path: Path, head: str, stderr: str
) -> None:
    fault = cli(*command(head=head)).fault
    assert stderr in fault
    assert not list((tmp_path / "cache").glob("generator/*"))


def train() -> None:
    """Give the network weights that know digits, for explainers need something to explain."""
    scope: dict[str, Any] = {}
    exec(NETWORK, scope)
    digits = load_digits()
    x = torch.tensor(digits.images / 8 - 1, dtype=torch.float32)[:, None]
    net, labels = scope["network"](), torch.tensor(digits.target)
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(200):
        i = torch.randint(len(x), (64,), generator=torch.Generator().manual_seed(step))
        loss = F.cross_entropy(net(x[i]), labels[i])
        adam.zero_grad()
        loss.backward()
        adam.step()
    save_file(net.state_dict(), "cnn.safetensors")


def test_maps_need_no_decoder(cli, module) -> None:
    train()
    words = ["--dataset", "digits", "--max-cases", "4", "--metrics", "faithfulness",
             "--head", f"{HEAD},weights=cnn.safetensors,size=8,mean=0.5,std=0.5",
             "--explainer", "saliency", "--explainer", "grad-cam"]  # fmt: skip
    done = cli("run", *words, "--out", "run", "--device", "cpu")
    assert done.code == 0, done
    kinds = {stage.split()[0] for stage in outcomes_of(Path("run"))["done"]}
    assert not {"generator", "encoder", "latents", "oracle", "class_autoencoders"} & kinds
    records = records_of(Path("run"))
    assert {(r["generator"], r["encoder"]) for r in records} == {("none", "none")}
    explained = {r["explainer"] for r in records} - {None}
    assert {"saliency", "grad-cam", "template", "edge"} <= explained
    assert not {"adversarial", "nearest-unlike", "class-shift"} & explained
    shown = " ".join(done.out.split())
    assert "grad-cam: looks into the layer 3 of the explained network." in shown
    model = load("run")
    rationale = model.explain(load_digits().images[0].astype("uint8") * 15, explainer="saliency")
    assert rationale.reconstruction is None
    with pytest.raises(UsageError, match="needs a decoder, and run 'run' trained none"):
        model.explain(load_digits().images[0].astype("uint8") * 15, explainer="gvr")


@pytest.mark.slow
def test_explainers_explain_a_wrapped_network(cli, module) -> None:
    train()
    Path("spec.toml").write_text(SPEC)
    done = cli("run", "spec.toml", "--out", "run", "--device", "cpu")
    assert done.code == 0, done
    assert not {"failed", "skipped"} & outcomes_of(Path("run")).keys()
    records = records_of(Path("run"))
    judged = {row["metric"] for row in records if row["explainer"] is None}
    assert {"decoded_agreement", "decoded_auroc"} <= judged
    changed = {
        row["explainer"]: row["value"] for row in records if row["metric"] == "randomised_head"
    }
    assert changed.pop("edge") == 1.0
    assert changed["saliency"] < 0.9
    assert len(changed) >= 10
    again = cli("run", "run/spec.toml", "--out", "again", "--cached-only", "--device", "cpu")
    assert again.code == 0, again
    assert records_of(Path("again")) == records
