"""Templates of plugin packages that install, run, and pass their own tests."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

import jinja2

from gvr_bench import __version__
from gvr_bench.core.errors import UsageError
from gvr_bench.core.types import Kind
from gvr_bench.metrics import DECLARED, GROUPS
from gvr_bench.registry.names import collectives, option_of, plain
from gvr_bench.registry.registry import Registry

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SUMMARIES: dict[Kind, str] = {
    "explainer": "mean gradient over noisy copies of the image",
    "head": "logistic, softmax or linear regression",
    "encoder": "convolutions, trained through the frozen generator",
    "generator": "generative latent optimisation",
    "metric": "share of the map at the border of the image",
    "dataset": "noise, with a bright disc where there is a finding",
}
FILES = {
    "pyproject.toml": "pyproject.toml.j2",
    "README.md": "README.md.j2",
    "src/{module}/__init__.py": "hook.py.j2",
    "src/{module}/py.typed": "py.typed.j2",
    "src/{module}/{kind}.py": "{kind}.py.j2",
    "tests/test_{bare}.py": "test_{kind}.py.j2",
}


@dataclass(frozen=True)
class Package:
    """The names of a new package."""

    kind: Kind
    name: str

    @property
    def distribution(self) -> str:
        return f"gvr-{self.name}"

    @property
    def bare(self) -> str:
        return self.name.replace("-", "_")

    @property
    def module(self) -> str:
        return f"gvr_{self.bare}"

    @property
    def cls(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def option(self) -> str:
        return option_of(self.kind)

    @property
    def summary(self) -> str:
        return SUMMARIES[self.kind]


def new_package(kind: Kind, name: str, registry: Registry) -> Package:
    """Validate the name of a new package. Raises `UsageError`."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is not a valid name; use lower-case letters, digits and single hyphens, "
            "e.g. smooth-gradient"
        )
    package = Package(kind, name)
    reserved = {plain(name) for name in collectives(registry.plugins("explainer"))}
    if kind == "metric":  # what --metrics takes for ours
        reserved |= {plain(name) for name in (*DECLARED, *(group.name for group in GROUPS))}
    if plain(name) in reserved or keyword.iskeyword(package.cls):
        raise UsageError(f"'{name}' is reserved; choose another name")
    for row in registry.rows:
        if (row.plugin.kind, row.plugin.name) == (kind, name):
            raise UsageError(
                f"{kind} '{name}' exists already in {row.distribution}; choose another name"
            )
    if importlib.util.find_spec(package.module):
        raise UsageError(
            f"the module {package.module} exists already and would be hidden by a plugin '{name}'; "
            "choose another name"
        )
    return package


def write_package(package: Package, folder: Path) -> list[Path]:
    """Write the files into a new folder. Raises `UsageError`."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("gvr_bench.registry.scaffold", "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - it writes Python and TOML from validated names
    )
    names = {"module": package.module, "kind": package.kind, "bare": package.bare}
    written = []
    try:
        folder.mkdir(parents=True)
        for place, template in FILES.items():
            file = folder / place.format_map(names)
            file.parent.mkdir(parents=True, exist_ok=True)
            source = templates.get_template(template.format_map(names))
            file.write_text(source.render(package=package, version=__version__), encoding="utf-8")
            written.append(file)
    except FileExistsError as error:
        raise UsageError(f"{folder} exists already; choose another with --out DIR") from error
    except OSError as error:
        raise UsageError(
            f"cannot write {folder}: {error.strerror or error}; choose another with --out DIR"
        ) from error
    return written
