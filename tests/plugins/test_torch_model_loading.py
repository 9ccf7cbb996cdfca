from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
import torch
from gvr_torch_models.head import TorchHead
from gvr_torch_models.loading import make_network, shuffle
from gvr_torch_models.settings import NetworkSettings
from gvr_torch_models.wrapped_network import WrappedNetwork
from safetensors.torch import save_file
from torch import nn

import gvr_bench.api as gvr

Settings = Callable[..., NetworkSettings]

NETWORK = """
import torch
from torch import nn

def network(units=3):
    print("made")
    return nn.Sequential(nn.Flatten(), nn.Linear(4, units))

def tied():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4))
    net[2].weight = net[1].weight
    return net

def half():
    return network().half()

def raises():
    raise KeyError("no such layer")

def leaves():
    raise SystemExit(3)

def number():
    return 3

made = network()
seven = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module `nets_of_<test>` in the working directory."""
    monkeypatch.chdir(tmp_path)
    name = f"nets_of_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(NETWORK)
    return name


@pytest.fixture
def fault(module: str) -> Callable[..., str]:
    """What is said of settings that make no network."""

    def of(factory: str = "", **given: Any) -> str:
        factory = factory.replace("nets:", f"{module}:")
        with pytest.raises(gvr.UsageError) as caught:
            make_network(NetworkSettings(factory=factory or None, **given))
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(module, "nets")

    return of


def test_missing_module_is_named(fault, tmp_path: Path) -> None:
    assert fault("nowhere:net") == (
        f"factory 'nowhere:net': no module 'nowhere' in {tmp_path} or installed; go to the folder "
        "of nowhere.py, or pip install the package"
    )
    assert "no module 'torchvision.nothing'" in fault("torchvision.nothing:net")


@pytest.mark.parametrize("factory", ["os:system", "subprocess:run", "torch.hub:load", "sys:exit"])
def test_standard_library_is_not_called(fault, factory: str) -> None:
    assert "is not allowed" in fault(factory, arguments={"command": "touch ran"})
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "nets.py has no 'missing'"),
        ("seven", "seven is int; name a function or class that returns the network"),
        ("made", "made is Sequential; name a function or class that returns the network"),
        ("raises", "factory 'nets:raises' raised KeyError: 'no such layer'"),
        ("leaves", "factory 'nets:leaves' raised SystemExit: 3"),
        ("number", "factory 'nets:number' returned int, not a torch.nn.Module"),
    ],
)
def test_factory_must_return_network(fault, name: str, said: str) -> None:
    assert fault(f"nets:{name}").endswith(said)


def test_unknown_factory_argument_is_named(fault) -> None:
    said = fault("nets:network", arguments={"width": 3})
    assert "raised TypeError: network() got an unexpected keyword argument 'width'" in said


def test_failing_import_is_explained(tmp_path: Path, fault) -> None:
    (tmp_path / "lacking.py").write_text("import no_such_library")
    said = fault("lacking:net")
    assert said.endswith("raised ModuleNotFoundError: No module named 'no_such_library'")


def test_shadowed_module_is_refused(tmp_path: Path, fault) -> None:
    (tmp_path / "gvr_torch_models.py").write_text("net = print")
    said = fault("gvr_torch_models:net")
    assert said.endswith(f"hides {tmp_path / 'gvr_torch_models.py'}; rename your module")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "name a network"),
        ({"factory": "a:b", "file": "c.pt"}, "name a network"),
        ({"factory": "a.b"}, "write it as module:function, e.g. torchvision.models:resnet18"),
        ({"file": "c.pt", "weights": "d"}, "weights and arguments are for a factory"),
        ({"factory": "a:b", "arguments": "width"}, "write it as arguments=name=value+name=value"),
        ({"factory": "a:b", "arguments": {"x": float("nan")}}, "Input should be a finite number"),
    ],
)
def test_settings_must_name_one_network(given: dict[str, Any], said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=re.escape(said)):
        NetworkSettings(**given)


def test_arguments_from_text_and_table_agree() -> None:
    typed = NetworkSettings(factory="a:b", arguments="width=8+pretrained=false+name=small")
    assert typed.arguments == {"width": 8, "pretrained": False, "name": "small"}
    assert NetworkSettings(factory="a:b", arguments=typed.arguments) == typed


def weights_of(module: str, path: Path, **change: Any) -> Path:
    state = make_network(NetworkSettings(factory=f"{module}:network")).state_dict()
    save_file({k: v for k, v in {**state, **change}.items() if v is not None}, path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"1.bias": None}, "lacks 1.bias"),
        ({"2.bias": torch.zeros(3)}, "has unknown weights 2.bias"),
        ({"1.weight": torch.zeros(5, 4)}, "has weights of another shape than the network "
        "1.weight (5, 4) "
                                          "instead of (3, 4)"),
    ],
)  # fmt: skip
def test_mismatched_weights_are_named(
    fault, module: str, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = weights_of(module, tmp_path / "w.safetensors", **change)
    assert fault("nets:network", weights=path) == (
        f"{path} {said}; it does not fit factory 'nets:network'"
    )


def test_long_weight_lists_are_shortened(fault, module, tmp_path: Path) -> None:
    path = weights_of(module, tmp_path / "w", **{f"more.{i}": torch.zeros(1) for i in range(9)})
    assert "more.0, more.1, more.2 and 6 more; " in fault("nets:network", weights=path)


def test_weights_with_nan_are_refused(fault, module: str, tmp_path: Path) -> None:
    path = weights_of(module, tmp_path / "w", **{"1.bias": torch.tensor([0.0, float("nan"), 0.0])})
    assert fault("nets:network", weights=path) == f"{path}: 1.bias contains NaN or infinity"


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("kind", ["zipped", "legacy", "plain"])
def test_pickles_are_never_read(fault, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "net.pt"
    if kind == "plain":
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        torch.save({"w": Bomb()}, path, _use_new_zipfile_serialization=kind == "zipped")
    assert "pickles are never read; save the network with torch.jit" in fault(file=path)
    assert "write it with safetensors.torch.save_file" in fault("nets:network", weights=path)
    path.rename(tmp_path / "net.pt2")
    assert "is neither TorchScript nor a .pt2" in fault(file=tmp_path / "net.pt2")
    assert not Path("ran").exists()


def test_objects_in_exports_are_refused(fault, tmp_path: Path) -> None:
    import zipfile

    whole, spoilt = tmp_path / "whole.pt2", tmp_path / "spoilt.pt2"
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    torch.export.save(torch.export.export(net, (torch.zeros(2, 1, 2, 2),)), whole)
    torch.save({"w": Bomb()}, tmp_path / "bomb")
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(spoilt, "w") as new:
        for name in old.namelist():
            bomb = name.endswith(("inputs/model.pt", "sample_inputs/model.pt"))
            content = (tmp_path / "bomb").read_bytes() if bomb else old.read(name)
            new.writestr(name, content)
        assert any(name.endswith("inputs/model.pt") for name in new.namelist()), new.namelist()
    fault(file=spoilt)
    assert not Path("ran").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_missing_file_is_named(fault, tmp_path: Path) -> None:
    assert "No such file" in fault(file=tmp_path / "net.pt")


def test_frozen_torchscript_is_refused(fault, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    torch.jit.freeze(torch.jit.script(net)).save(tmp_path / "net.pt")
    assert "save the network before torch.jit.freeze" in fault(file=tmp_path / "net.pt")


def test_factory_prints_go_to_stderr(module: str, capsys) -> None:
    make_network(NetworkSettings(factory=f"{module}:network"))
    assert capsys.readouterr().out == ""


def test_half_precision_becomes_float32(module: str) -> None:
    net = make_network(NetworkSettings(factory=f"{module}:half"))
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}


def test_tied_weights_stay_tied(module: str, tmp_path: Path) -> None:
    settings = NetworkSettings(factory=f"{module}:tied")
    net = WrappedNetwork(make_network(settings), settings)
    save_file(net.state_dict(), tmp_path / "apart")
    again = WrappedNetwork(make_network(settings), settings)
    again.load_state_dict(net.state_dict())
    assert again.net[1].weight is again.net[2].weight
    assert torch.equal(again.net[1].weight, net.net[1].weight)


def test_tied_weights_may_be_saved_once(module: str, tmp_path: Path) -> None:
    net = make_network(NetworkSettings(factory=f"{module}:tied"))
    state = net.state_dict()
    del state["2.weight"]
    save_file(state, tmp_path / "once")
    again = make_network(NetworkSettings(factory=f"{module}:tied", weights=tmp_path / "once"))
    assert torch.equal(again[2].weight, net[2].weight)


def test_shuffling_permutes_weights() -> None:
    net = nn.Sequential(nn.Linear(40, 40), nn.BatchNorm1d(40))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    shuffle(net)
    after = net.state_dict()
    assert not torch.equal(after["0.weight"], before["0.weight"])
    assert torch.equal(
        after["0.weight"].flatten().sort()[0], before["0.weight"].flatten().sort()[0]
    )
    assert all(torch.equal(after[name], before[name]) for name in before if "running" in name)


def head(**given: Any) -> TorchHead:
    return TorchHead(TorchHead.Settings(**given))


def test_key_depends_on_source_and_weights(module: str, tmp_path: Path) -> None:
    weights = weights_of(module, tmp_path / "w.safetensors")
    first = head(factory=f"{module}:network", weights=weights).fingerprint()
    moved = weights.rename(tmp_path / "moved")
    assert head(factory=f"{module}:network", weights=moved).fingerprint() == first
    weights_of(module, moved, **{"1.bias": torch.zeros(3)})
    other = head(factory=f"{module}:network", weights=moved).fingerprint()
    (tmp_path / f"{module}.py").write_text(NETWORK + "\n")
    changed = head(factory=f"{module}:network", weights=moved).fingerprint()
    assert len({first, other, changed}) == 3


def test_planning_imports_no_factory(tmp_path: Path) -> None:
    package = tmp_path / "made_nets"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "deep.py").write_text("raise RuntimeError('imported')")
    code = (
        "from gvr_torch_models.head import TorchHead\n"
        "made = TorchHead(TorchHead.Settings(factory='made_nets.deep:net'))\n"
        "print(len(made.fingerprint()))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) == len("factory ") + 64
