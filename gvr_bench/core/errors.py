"""Everything that gvr-bench raises on purpose.

```
GvrError
├── UsageError                what was typed cannot be done               exit 2
├── DataError                 data is missing, unreadable or unsuitable   exit 2
├── CacheError                the cache cannot be read or written         exit 2
│   └── CorruptFileError      a file is not what was written
│       └── CorruptStageError the stored value of a stage is damaged      computed again
├── PluginError               a plugin does not load or breaks its contract
├── TrainingError             an optimisation produced NaN or infinity
├── MemoryShortage            a stage needs more memory than there is
├── ProcessError              another process of this run has ended       exit 2
└── Unsupported               this component does not apply here          an n/a cell
```

A message is one line: what is wrong, where, and what to type next.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pydantic

    from gvr_bench.core.stage import Stage


class GvrError(Exception):
    """Base of every error that gvr-bench raises on purpose."""


class UsageError(GvrError):
    """What was typed cannot be done."""


class DataError(GvrError):
    """Data is missing, unreadable or unsuitable.

    Where single images of a split cannot be read, `unreadable` maps their positions in the request
    to the reason: a data set with a `skip` setting can go without that fraction of its images.
    """

    def __init__(self, message: str, unreadable: Mapping[int, str] | None = None) -> None:
        super().__init__(message)
        self.unreadable = dict(unreadable or {})


class CacheError(GvrError):
    """The cache cannot be read or written."""


class CorruptFileError(CacheError):
    """A file is damaged, or was written by another program."""


class CorruptStageError(CorruptFileError):
    """The stored value of `stage` in `folder` is damaged; a run computes it again."""

    def __init__(self, stage: Stage, folder: Path, fault: str) -> None:
        super().__init__(f"damaged in {folder}: {fault}")
        self.stage, self.folder, self.fault = stage, folder, fault


class PluginError(GvrError):
    """A plugin does not load or breaks its contract."""


class TrainingError(GvrError):
    """An optimisation produced NaN or infinity."""


class MemoryShortage(GvrError):  # noqa: N818 - MemoryError is Python's
    """A stage needs more memory than there is, even with a batch of one image."""


class ProcessError(GvrError):
    """Another process of this run has ended, or does something else."""


class Unsupported(GvrError):  # noqa: N818 - it is an answer, not a fault
    """This component does not apply here; raise it with the reason and the cell reads n/a."""


def first_fault(error: pydantic.ValidationError) -> tuple[str, str, Any]:
    """Return pydantic's first fault: the dotted name of the field, the message, and the input."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return where, first["msg"].removeprefix("Value error, "), first["input"]


def one_line(error: BaseException) -> str:
    """Return the type and the first line of an error."""
    text = str(error).strip().splitlines()
    name = type(error).__name__
    if isinstance(error, PluginError):
        return text[0]
    return f"{name}: {text[0]}" if text else name
