"""Networks with the habits of real ones: each is explained rightly, or refused with the mend."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from gvr_torch_models.head import TorchHead
from safetensors.torch import save_file
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.core.errors import UsageError
from gvr_bench.pipeline.preflight import refuse_unfit, refuse_unfit_head
from gvr_bench.pipeline.stage_context import in_fast_layout

IMAGE = gvr.ImageSpec(1, 16)
TASK = gvr.Task(kind="multiclass", outputs=("a", "b", "c"))
ZOO = """
import collections, dataclasses
import torch, torch.nn.functional as F
from torch import nn

def layers():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = layers()
    def forward(self, x): return self.net(x)

class Dropout(Base):
    def forward(self, x): return self.net[-1](F.dropout(self.net[:-1](x), 0.5))

def BatchStatistics():
    made = Base()
    for b in made.modules():
        if isinstance(b, nn.BatchNorm2d):
            b.track_running_stats = False
            b.running_mean = b.running_var = b.num_batches_tracked = None
    return made

class Probabilities(Base):
    def forward(self, x): return self.net(x).softmax(1)

class EvalReturnsNothing(Base):
    def eval(self): super().eval()

class TrainReturnsNothing(Base):  # and keeps its normalisation frozen, as detectors do
    def train(self, mode=True):
        super().train(mode)
        self.net[1].eval()

class SmallLogits(Base):  # between 0 and 1 for noise
    def forward(self, x): return self.net[5](self.net[:5](x) * 1e-2) + 0.5

class Squeezed(Base):
    def forward(self, x): return self.net(x).squeeze()

class FourDimensions(Base):
    def forward(self, x): return self.net(x)[:, :, None, None]

class OnGpu(Base):
    def forward(self, x): return self.net(x.to("cuda:99"))

class OwnGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)
    @staticmethod
    def backward(ctx, slope):
        (x,) = ctx.saved_tensors
        return slope * (x > 0)
class Custom(Base):
    def forward(self, x): return self.net[3:](OwnGradient.apply(self.net[:2](x)))

class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embed, self.out = nn.Linear(16, 32), nn.Linear(32, 3)
            self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    def forward(self, x):
        patches = F.unfold(x, 4, stride=4).transpose(1, 2)
        return self.out(self.layer(self.embed(patches)).mean(1))

def Quantised():
    return torch.ao.quantization.quantize_dynamic(Base(), {nn.Linear}, dtype=torch.qint8)

def Lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))

class NoGradient(Base):
    @torch.no_grad()
    def forward(self, x): return self.net(x)

class Detached(Base):
    def forward(self, x): return self.net(x.detach())

class BrainFloat(Base):
    def forward(self, x): return self.net(x).bfloat16()

class Half(Base):  # computes in half precision, as for inference
    def forward(self, x): return self.net.half()(x.half())

def Compiled():
    return torch.compile(Base(), backend="aot_eager")

class Double(Base):
    def forward(self, x): return self.net(x).double()

Named = collections.namedtuple("Named", "features logits")
class NamedTuple(Base):
    def forward(self, x): return Named(x, self.net(x))

@dataclasses.dataclass
class Outputs:
    features: torch.Tensor
    logits: torch.Tensor
class DataClass(Base):
    def forward(self, x): return Outputs(x, self.net(x))

class View(Base):
    def forward(self, x):
        y = self.net[:3](x)
        return self.net[5](F.adaptive_avg_pool2d(y, 2).transpose(1, 2).view(len(x), -1))

class GrayView(nn.Module):  # of one channel, so that both layouts are the same
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.out = nn.Conv2d(1, 4, 5, 4), nn.Linear(36, 3)
    def forward(self, x): return self.out(self.conv(x).view(len(x), -1))

class Counting(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
    def forward(self, x):
        self.calls += 1
        return self.net(x) + self.calls

class InPlace(Base):
    def forward(self, x):
        x -= 0
        return self.net(x.mul_(1))

Untrained = layers
"""


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "made_up_zoo", raising=False)
    Path("made_up_zoo.py").write_text(ZOO)
    return "made_up_zoo"


def trial(zoo: str, name: str, **settings: object) -> tuple[nn.Module, Tensor]:
    """What a run does with a network before it computes anything."""
    head = TorchHead(TorchHead.Settings(factory=f"{zoo}:{name}", **settings))
    net = head.build(0, TASK)
    return net, refuse_unfit_head(head, net, "torch-model", IMAGE, TASK)


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("Dropout", "F.dropout without training=self.training"),
        ("BatchStatistics", "give BatchNorm track_running_stats=True"),
        ("Probabilities", "say probabilities=true"),
        ("NoGradient", "take torch.no_grad, detach and argmax out of its forward"),
        ("Detached", "take torch.no_grad, detach and argmax out of its forward"),
        ("NamedTuple", "select a tensor with part=...features, logits|one of features, logits"),
        ("DataClass", "one of features, logits"),
        ("View", "write reshape for view"),
        ("Counting", "changes its own net.calls when it predicts"),
        ("FourDimensions", "returns 3 x 3 x 1 x 1 for 3 images"),
        ("OnGpu", "cannot take 3 images of 1 x 16 x 16: "),
        ("Quantised", "is not a tensor and cannot be stored"),
        ("Lazy", "call it once on an image"),
        ("Untrained", "give weights=FILE.safetensors, or untrained=true"),
    ],
)
def test_unfit_network_gets_one_line(zoo: str, name: str, mend: str) -> None:
    with pytest.raises(UsageError, match=mend) as error:
        trial(zoo, name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Base", {}), ("EvalReturnsNothing", {}), ("BrainFloat", {}), ("Double", {}),
        ("Half", {}), ("Compiled", {}), ("SmallLogits", {}),
        ("GrayView", {}), ("InPlace", {}),
        ("TrainReturnsNothing", {}), ("Squeezed", {}), ("Custom", {}),
        ("Transformer", {}), ("NamedTuple", {"part": "logits"}), ("DataClass", {"part": "logits"}),
        ("Probabilities", {"probabilities": True}), ("Untrained", {"untrained": True}),
    ],
)  # fmt: skip
def test_fit_network_gives_float_outputs(zoo: str, name: str, settings: dict[str, object]) -> None:
    _, outputs = trial(zoo, name, **settings)
    assert (outputs.dtype, outputs.shape) == (torch.float32, (3, 3))


@pytest.mark.parametrize("name", ["Half", "BrainFloat", "Compiled"])
def test_outputs_are_those_of_the_plain_network(zoo: str, name: str) -> None:
    x = torch.rand(3, 1, 16, 16) * 2 - 1
    (net, _), (plain, _) = trial(zoo, name), trial(zoo, "Base")
    for model, called in ((net, name), (plain, "Base")):
        head = TorchHead(TorchHead.Settings(factory=f"{zoo}:{called}"))
        head.fit(model, *[None] * 2, TASK, gvr.Context(torch.device("cpu")))  # type: ignore[arg-type]
    assert torch.allclose(net(x), plain(x), atol=0.02)
    assert net(x).std() > 0.05


@pytest.mark.parametrize("name", ["Base", "GrayView"])
def test_layout_changes_no_output(zoo: str, name: str) -> None:
    net, _ = trial(zoo, name)
    x = torch.rand(3, 1, 16, 16).contiguous(memory_format=torch.channels_last)
    before = net(x)
    torch.testing.assert_close(in_fast_layout(net, IMAGE)(x), before, rtol=0, atol=1e-5)


def test_batch_counters_may_be_missing(zoo: str) -> None:
    state = __import__(zoo).Base().state_dict()
    rest = {name: value for name, value in state.items() if "num_batches" not in name}
    save_file(rest, "w.safetensors")
    trial(zoo, "Base", weights=Path("w.safetensors"))


def test_prefix_of_weights_is_named(zoo: str) -> None:
    state = __import__(zoo).Base().state_dict()
    save_file({f"module.{name}": value for name, value in state.items()}, "w.safetensors")
    with pytest.raises(UsageError, match=r"all names begin with 'module\.'"):
        trial(zoo, "Base", weights=Path("w.safetensors"))


def test_import_leaves_torch_as_it_was(zoo: str) -> None:
    path = Path("made_up_zoo.py")
    path.write_text(f"{ZOO}\ntorch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)")
    trial(zoo, "Base")
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)


def test_timm_is_a_factory() -> None:
    pytest.importorskip("timm", reason="timm is not installed: pip install timm")
    arguments = "model_name=resnet10t+num_classes=3+in_chans=1"
    head = TorchHead(TorchHead.Settings(factory="timm:create_model", arguments=arguments))
    outputs = refuse_unfit(head.build(0, TASK), "head 'torch-model'", gvr.ImageSpec(1, 32), TASK)
    assert outputs.shape == (3, 3)
