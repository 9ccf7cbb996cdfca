"""The only module a plugin needs.

A plugin is a package with one line under `[project.entry-points.gvr_bench]` in its
`pyproject.toml`, naming a module that implements the hook `gvr_plugins`:

```python
import gvr_bench.api as gvr

@gvr.hookimpl
def gvr_plugins():
    yield gvr.Plugin(api=1, kind="explainer", name="centre", target="gvr_centre.explainer:Centre",
                     summary="attribution in the middle of the image")
```

That module is imported whenever plugins are listed, so it must not import torch; the class named
by `target` is imported when it is first used. Importing this module imports no torch either.
"""

from __future__ import annotations

from gvr_bench.core.components import (
    API_VERSION,
    Component,
    Dataset,
    Encoder,
    Generator,
    Head,
    Images,
    Plugin,
    Settings,
)
from gvr_bench.core.context import (
    BatchShard,
    Context,
    Progress,
    Stateful,
    seed_from,
    steps_within,
    task_loss,
    translate,
)
from gvr_bench.core.digests import digest_of, source_digest
from gvr_bench.core.errors import (
    DataError,
    GvrError,
    PluginError,
    TrainingError,
    Unsupported,
    UsageError,
)
from gvr_bench.core.explainer import CompletenessBaseline, Explainer
from gvr_bench.core.metric import Better, Metric, MetricInput
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.core.reference import Reference
from gvr_bench.core.remote_files import Archive, Remote
from gvr_bench.core.selu import selu
from gvr_bench.core.types import (
    Explanation,
    ExplanationTarget,
    GroundTruth,
    ImageSpec,
    Latents,
    Model,
    Scale,
    Split,
    Structures,
    Task,
    compose,
)
from gvr_bench.data.fetch import fetch
from gvr_bench.data.image_io import (
    Placement,
    is_image,
    letterbox,
    place,
    read_extent,
    read_picture,
    read_pictures,
    resize,
)
from gvr_bench.data.mask_io import letterbox_mask, read_mask
from gvr_bench.registry.captum_adapter import CaptumExplainer, network_of
from gvr_bench.registry.global_rng import seeded
from gvr_bench.registry.hookspecs import hookimpl
from gvr_bench.registry.registry import open_dataset, open_explainer

__all__ = [
    "API_VERSION",
    "Archive",
    "BatchShard",
    "Better",
    "CaptumExplainer",
    "CompletenessBaseline",
    "Component",
    "Context",
    "DataError",
    "Dataset",
    "Encoder",
    "Explainer",
    "Explanation",
    "ExplanationTarget",
    "Generator",
    "GroundTruth",
    "GvrError",
    "Head",
    "ImageSpec",
    "Images",
    "Latents",
    "Metric",
    "MetricInput",
    "Model",
    "Placement",
    "Plugin",
    "PluginError",
    "Progress",
    "Reference",
    "Remote",
    "Scale",
    "Settings",
    "Split",
    "Stateful",
    "Structures",
    "Task",
    "TrainingError",
    "Unsupported",
    "UsageError",
    "compose",
    "did_you_mean",
    "digest_of",
    "fetch",
    "hookimpl",
    "is_image",
    "letterbox",
    "letterbox_mask",
    "network_of",
    "open_dataset",
    "open_explainer",
    "place",
    "read_extent",
    "read_mask",
    "read_picture",
    "read_pictures",
    "resize",
    "seed_from",
    "seeded",
    "selu",
    "source_digest",
    "steps_within",
    "task_loss",
    "translate",
]
