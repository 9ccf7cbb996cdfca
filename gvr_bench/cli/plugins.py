"""The commands `gvr-bench plugins list`, `info`, `new` and `check`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gvr_bench.cli.options import DataRoot, Json, plugin_names
from gvr_bench.cli.shell import SOME_FAILED, errors_in_one_line, print_json, print_table

if TYPE_CHECKING:
    from gvr_bench.config.spec import ComponentSpec
    from gvr_bench.core.components import Component
    from gvr_bench.core.types import Kind
    from gvr_bench.registry.description import ComponentInfo
    from gvr_bench.registry.registry import Registry
    from gvr_bench.testing import CheckResult

plugins_app = typer.Typer(
    help="List and check installed plugins, or create a new one.", no_args_is_help=True
)
# In the order of the help.
KindName = Literal["explainer", "metric", "head", "encoder", "generator", "dataset"]
KindOption = Annotated[
    KindName | None,
    typer.Option("--kind", help="Needed if several kinds have that name.", show_default=False),
]
RUNS = {
    "default": "every run that names no explainer",
    "all": "a run that names it, its family or all",
    "name": "a run that names it",
}
STYLES = {"passed": "green", "failed": "red", "n/a": "dim"}


@plugins_app.command("list")
def plugins_list(as_json: Json = False) -> None:
    """List every component, and every plugin that does not load with the reason."""
    from rich.text import Text

    from gvr_bench.registry.registry import installed

    registry = installed()
    rows = [
        (
            r.plugin.kind,
            r.plugin.name,
            r.distribution,
            r.problem or r.plugin.summary,
            bool(r.problem),
        )
        for r in registry.rows
    ] + [("?", b.entry_point, b.distribution, b.problem, True) for b in registry.broken]
    if as_json:
        print_json(("kind", "name", "distribution", "text", "broken"), rows)
        return
    cells = []
    for *whose, text, broken in rows:
        line, style = (f"broken: {text}", "red") if broken else (text, "")
        cells.append([Text(cell, style=style) for cell in (*whose, line)])
    print_table(("kind", "name", "from", ""), cells)


@plugins_app.command("info")
def plugins_info(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=plugin_names)],
    kind: KindOption = None,
    as_json: Json = False,
) -> None:
    """Show a component's settings, cost, source and an example."""
    with errors_in_one_line():
        from dataclasses import asdict

        from gvr_bench.config.spec import parse_choice
        from gvr_bench.registry.description import describe
        from gvr_bench.registry.registry import installed

        registry, typed = installed(), parse_choice(name).name
        info = describe(registry, kind or kind_of(typed, registry), typed)
        if as_json:
            print(json.dumps(asdict(info), indent=1, ensure_ascii=False))
        else:
            show_info(info)


@plugins_app.command("new")
def plugins_new(
    kind: Annotated[KindName, typer.Argument()],
    name: Annotated[
        str, typer.Argument(help="Lower-case letters and hyphens, e.g. smooth-gradient.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The package's folder.  \\[default: gvr-NAME]"),
    ] = None,
) -> None:
    """Create a package with a working plugin to start from."""
    with errors_in_one_line():
        from gvr_bench.registry.names import option_of
        from gvr_bench.registry.registry import installed
        from gvr_bench.registry.scaffold import new_package, write_package

        package = new_package(kind, name, installed())
        folder = out or Path(package.distribution)
        written = write_package(package, folder)
        code = next(file for file in written if file.stem == kind)
        print(f"Created {folder} with a working {kind}. Edit {code}, then run")
        print(f"  cd {folder} && pip install -e '.[test]'")
        print(f"  pytest && gvr-bench plugins check {name}")
        print(f"  gvr-bench run {option_of(kind)} {name}")


@plugins_app.command("check")
def plugins_check(
    name: Annotated[
        str, typer.Argument(metavar="NAME[:SETTING=VALUE,...]", autocompletion=plugin_names)
    ],
    kind: KindOption = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Check an installed plugin; exit 1 if a check fails.

    Networks are trained several times, so set few steps, e.g. linear:steps=5.
    """
    with errors_in_one_line():
        from rich.console import Console

        from gvr_bench.config.spec import parse_choice
        from gvr_bench.registry.registry import installed, output_to_stderr

        spec, registry = parse_choice(name), installed()
        which = kind or kind_of(spec.name, registry)
        component = create(which, spec, data_root, registry)
        from gvr_bench.testing import SUITES

        label = f"{which} '{spec.name}'"
        with Console(stderr=True).status(f"checking {label}"), output_to_stderr():
            results = SUITES[which].results(component, {}, label)
        if as_json:
            print_json(
                ("check", "status", "problem", "fix"),
                [(r.check, r.status, r.problem, r.fix) for r in results],
            )
        else:
            show_results(results)
        if any(result.status == "failed" for result in results):
            raise typer.Exit(SOME_FAILED)


def kind_of(name: str, registry: Registry) -> Kind:
    """Return the only kind with a plugin of that name. Raises `UsageError`."""
    from gvr_bench.core.errors import UsageError
    from gvr_bench.core.near_names import did_you_mean

    names = [row.plugin.name for row in registry.rows]
    meant = [(row.plugin, registry.canonical(row.plugin.kind, name)) for row in registry.rows]
    kinds = list(dict.fromkeys(p.kind for p, own in meant if p.name == own))
    if not kinds:
        raise UsageError(f"unknown plugin '{name}'{did_you_mean(name, set(names))}")
    if len(kinds) > 1:
        raise UsageError(
            f"several kinds have a plugin '{name}': {', '.join(kinds)}; choose one, e.g. "
            f"--kind {kinds[0]}"
        )
    return kinds[0]


def create(
    kind: Kind, spec: ComponentSpec, data_root: Path | None, registry: Registry
) -> Component:
    """Create a component as a run of the quick profile would. Raises `GvrError`."""
    from gvr_bench.registry.registry import blaming

    with blaming(f"{kind} '{spec.name}'"):
        if kind == "dataset":
            dataset = registry.open_dataset(spec.name, spec.settings, "quick", data_root)
            dataset.fingerprint()  # missing files are no fault of the plugin
            return dataset
        cls, settings = registry.settings(kind, spec.name, "quick", spec.settings)
        return cls(settings)


def show_info(info: ComponentInfo) -> None:
    print(f"{info.kind} {info.name}: {info.summary}\n\n{info.text}\n")
    facts = {
        "also called": ", ".join(info.aliases),
        "family": info.family,
        "part of": RUNS.get(info.selection, ""),
        "needs": info.access,
        "passes per image": "; ".join(
            text if profile == "default" else f"{text} ({profile})"
            for profile, text in info.passes.items()
        ),
        **info.declared,
        "source": info.source,
        "from": f"{info.distribution}, version {info.version} of the component",
    }
    for name, text in facts.items():
        if text:
            print(f"{name:<17} {text}")
    if info.settings:
        profiles = list(info.settings[0].values)
        rows = [(s.name, s.type, *s.values.values(), s.meaning) for s in info.settings]
        print_table(("setting", "type", *profiles, ""), rows)
    if info.argument:
        print(f"{info.name}:VALUE sets {info.argument}.")
    print(f"Example: {info.example}")


def show_results(results: Sequence[CheckResult]) -> None:
    from rich.text import Text

    rows = []
    for result in results:
        outcome = f"{result.status}: {result.problem}" if result.problem else result.status
        rows.append([Text(result.check), Text(outcome, STYLES[result.status]), Text(result.fix)])
    print_table(("check", "outcome", "fix"), rows)
    counts = {status: sum(r.status == status for r in results) for status in STYLES}
    total = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    print(f"{results[0].component}: {total}")
