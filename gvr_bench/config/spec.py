"""The spec of a run, from a TOML file and from flags, with every setting resolved."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import pydantic
import tomli_w
from pydantic import Field

from gvr_bench.core.components import Settings
from gvr_bench.core.errors import UsageError, first_fault
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.core.types import Kind
from gvr_bench.registry.names import DEFAULT, collective
from gvr_bench.registry.registry import PROFILES, Registry

DEFAULTS = {"dataset": "phantom", "explainer": DEFAULT}

CHOICES = (  # the fields of a spec that hold choices
    "dataset", "generator", "encoder", "head", "explainer", "pretraining_dataset",
)  # fmt: skip


class ComponentSpec(pydantic.BaseModel):
    """A component by name, with the settings the user gave.

    The setting `""` is the one typed without a name. A setting that holds settings of another
    component, as `base.size=64` does, is a table.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    name: str
    settings: dict[str, Any] = {}

    @property
    def short(self) -> str:
        """The name, with the value typed without a name; of a path, its last part."""
        value = str(self.settings.get("", ""))
        return f"{self.name}:{Path(value).name}" if value else self.name

    def __str__(self) -> str:
        items = _dotted(self.settings)
        inline = ",".join(f"{key}={value}" if key else str(value) for key, value in items)
        return f"{self.name}:{inline}" if inline else self.name


def _dotted(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", content) for inner, content in value.items())
        else:
            yield key, value


class LatentSettings(Settings):
    """How images become the latents a head is fitted on.

    `copies` translated copies of each training image are encoded beside the image itself (the
    papers augment the labelled images, without saying how often), after the split by patient; the
    data set says how many where none are named.
    """

    copies: int | None = Field(None, ge=0)
    shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest translation, of the size")


class Spec(pydantic.BaseModel):
    """All that a run depends on. Every combination of the choices is run.

    Generator and encoder are trained on `pretraining_dataset`; without it, on the data set whose
    images are explained. Without a generator, those of the data set are used; without an encoder or
    a head, each generator's, and the data set's head where the generator has none.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    profile: Literal["quick", "standard", "paper"] = "quick"
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    max_cases: int = Field(50, ge=1, description="test images that are explained, at most")
    perturbed_cases: int = Field(
        20, ge=1, description="cases that sanity, cascade and robustness explain again, at most"
    )
    perturbed_costly_cases: int = Field(
        10, ge=1, description="the same for explainers of hundreds of passes an image"
    )
    data_root: str | None = None
    latents: LatentSettings = LatentSettings()
    metrics: tuple[str, ...] = Field(
        (DEFAULT,),
        min_length=1,
        description="groups of metrics, single ones, and plugins' metrics; default, or all",
    )
    dataset: tuple[ComponentSpec, ...] = Field(
        (ComponentSpec(name=DEFAULTS["dataset"]),), min_length=1
    )
    pretraining_dataset: tuple[ComponentSpec, ...] = ()
    generator: tuple[ComponentSpec, ...] = ()
    encoder: tuple[ComponentSpec, ...] = ()
    head: tuple[ComponentSpec, ...] = ()
    explainer: tuple[ComponentSpec, ...] = Field(
        (ComponentSpec(name=DEFAULTS["explainer"]),), min_length=1
    )
    controls: bool = Field(True, description="run every installed control that applies")

    @pydantic.field_validator("seeds", "metrics", *CHOICES)
    @classmethod
    def _without_duplicates(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(value for i, value in enumerate(values) if value not in values[:i])


assert get_args(Spec.model_fields["profile"].annotation) == PROFILES


def parse_choice(text: str) -> ComponentSpec:
    """Parse `name` or `name:setting=value,setting=value`. Raises `UsageError`.

    The first value may lack its name, as in `torchvision:CIFAR10`. In `base.size=64` the setting
    `base` is a table with `size`.
    """
    name, _, inline = text.partition(":")
    settings: dict[str, Any] = {}
    for part in filter(None, inline.split(",")):
        key, equals, value = part.partition("=")
        if not equals and not settings:
            key, value = "", part
        elif not equals or not key:
            raise UsageError(f"cannot read '{part}' in '{text}'; write {name}:setting=value")
        outer, dot, inner = key.partition(".")
        table = settings.setdefault(outer, {}) if dot else settings
        name_in_table = inner if dot else key
        if not isinstance(table, dict) or name_in_table in table:
            raise UsageError(f"'{text}' sets '{key}' twice")
        table[name_in_table] = value
    if not name:
        raise UsageError(f"'{text}' names no component; write name or name:setting=value")
    return ComponentSpec(name=name, settings=settings)


def read_spec(path: Path) -> dict[str, Any]:
    """Read a TOML spec into the fields of `Spec`. Raises `UsageError` that names the file."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError(f"no spec {path}; leave it out to run the defaults") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read the spec {path}: {error}") from error
    return check_table(str(path), table)


def check_table(whose: str, table: dict[str, Any]) -> dict[str, Any]:
    """Turn a TOML table into the fields of `Spec`. Raises `UsageError` that names whose it is."""
    for key in table:
        if key not in Spec.model_fields:
            hint = did_you_mean(key, Spec.model_fields)
            raise UsageError(f"{whose}: unknown key '{key}'{hint}")
    read = dict(table)
    for kind in CHOICES:
        if kind in table:  # a single name or table stands for a list of one
            entries = table[kind] if isinstance(table[kind], list) else [table[kind]]
            read[kind] = [_choice(whose, kind, entry) for entry in entries]
    return read


def _choice(whose: str, kind: str, entry: Any) -> ComponentSpec:
    """Read `"name:setting=value"` or a table with `name` and settings."""
    if isinstance(entry, str):
        return parse_choice(entry)
    if isinstance(entry, dict) and isinstance(entry.get("name"), str):
        rest = {key: value for key, value in entry.items() if key != "name"}
        named = parse_choice(entry["name"])
        for key in named.settings.keys() & rest.keys():
            raise UsageError(f"{whose}: {kind} '{named}' sets '{key}' twice")
        return ComponentSpec(name=named.name, settings={**named.settings, **rest})
    raise UsageError(f'{whose}: every {kind} needs a name, e.g. [[{kind}]] name = "..."')


def build_spec(
    file: Path | None, flags: Mapping[str, Any], choices: Mapping[str, Sequence[str] | None]
) -> Spec:
    """Combine defaults, a TOML file and flags; the later win. Raises `UsageError`."""
    table = read_spec(file) if file else {}
    for kind, texts in choices.items():
        if texts:
            table[kind] = [parse_choice(text) for text in texts]
    return spec_of_table(table, flags)


def spec_of_table(table: dict[str, Any], flags: Mapping[str, Any]) -> Spec:
    """Make a spec of checked fields and flags that are not None. Raises `UsageError`."""
    table = table | {key: value for key, value in flags.items() if value is not None}
    try:
        return Spec.model_validate(table)
    except pydantic.ValidationError as error:
        where, what, value = first_fault(error)
        raise UsageError(f"{where} = {value!r}: {what}") from error


def write_spec(spec: Spec) -> str:
    """Return the TOML that `read_spec` reads back."""
    table = spec.model_dump(mode="json", exclude_none=True)
    for kind in CHOICES:
        table[kind] = [_entry(choice) for choice in getattr(spec, kind)]
    return tomli_w.dumps(table)


def _entry(choice: ComponentSpec) -> dict[str, Any]:
    nameless = {key: value for key, value in choice.settings.items() if not key}
    named = {key: value for key, value in choice.settings.items() if key}
    return {"name": str(ComponentSpec(name=choice.name, settings=nameless)), **named}


def canonical_spec(spec: Spec, registry: Registry) -> Spec:
    """Return the spec with the components' own names. Raises `UsageError` for ambiguous ones."""
    explainers = registry.plugins("explainer")

    def own(kind: Kind, choice: ComponentSpec) -> ComponentSpec:
        several = collective(choice.name, explainers) if kind == "explainer" else ""
        name = several or registry.canonical(kind, choice.name)
        return ComponentSpec(name=name, settings=choice.settings)

    kinds = {field: "dataset" if field == "pretraining_dataset" else field for field in CHOICES}
    return spec.model_copy(
        update={
            field: tuple(own(cast(Kind, kind), choice) for choice in getattr(spec, field))
            for field, kind in kinds.items()
        }
    )


def labelled(choices: Sequence[ComponentSpec]) -> list[tuple[ComponentSpec, str]]:
    """Pair each choice with the shortest label that no other choice has."""
    names = [choice.short for choice in choices]
    return [(c, c.short if names.count(c.short) == 1 else str(c)) for c in choices]
