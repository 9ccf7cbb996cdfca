"""The commands that list what is installed, check it, and begin something new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gvr_bench.cli.options import DataRoot, Json
from gvr_bench.cli.shell import (
    SOME_FAILED,
    errors_in_one_line,
    print_json,
    print_table,
    show_plugins,
)

if TYPE_CHECKING:
    from gvr_bench.config.spec import ComponentSpec
    from gvr_bench.core.components import Component
    from gvr_bench.core.types import Kind
    from gvr_bench.registry.registry import Registry
    from gvr_bench.testing import CheckResult

plugins_app = typer.Typer(
    help="What is installed, whether it keeps the rules, and a new one to begin with.",
    no_args_is_help=True,
)
KindName = Literal["explainer", "head", "encoder", "generator", "dataset"]
STYLES = {"kept": "green", "broken": "red", "n/a": "dim"}


@plugins_app.command("list")
def plugins_list(as_json: Json = False) -> None:
    """List every component, and every plugin that does not load, with the reason."""
    show_plugins(as_json)


@plugins_app.command("new")
def plugins_new(
    kind: Annotated[KindName, typer.Argument()],
    name: Annotated[str, typer.Argument(help="Small letters and hyphens, e.g. smooth-gradient.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The package's folder.  \\[default: gvr-NAME]"),
    ] = None,
) -> None:
    """Write a package with a plugin that works, to be changed into your own."""
    with errors_in_one_line():
        from gvr_bench.registry.registry import installed
        from gvr_bench.registry.scaffold import new_package, write_package

        package = new_package(kind, name, installed())
        folder = out or Path(package.distribution)
        written = write_package(package, folder)
        code = next(file for file in written if file.stem == kind)
        print(f"wrote {folder}, whose {kind} works; make it your own in {code}, then")
        print(f"  cd {folder} && pip install -e '.[test]'")
        print(f"  pytest && gvr-bench plugins check {name}")
        print(f"  gvr-bench run --{kind} {name}")


@plugins_app.command("check")
def plugins_check(
    name: Annotated[str, typer.Argument(metavar="NAME[:SETTING=VALUE,...]")],
    kind: Annotated[
        KindName | None,
        typer.Option(help="Where several kinds have that name.", show_default=False),
    ] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Hold an installed plugin to the rules of its kind; exit 1 where it breaks one.

    What is trained is trained often: give it few steps, e.g. linear:steps=5.
    """
    with errors_in_one_line():
        from rich.console import Console

        from gvr_bench.config.spec import parse_choice
        from gvr_bench.registry.registry import installed

        choice, registry = parse_choice(name), installed()
        found = kind or kind_of(choice.name, registry)
        component = made(found, choice, data_root, registry)
        from gvr_bench.testing.dispatch import verdicts_of

        whose = f"{found} '{choice.name}'"
        with Console(stderr=True).status(f"checking {whose}"):
            verdicts = verdicts_of(found, component, whose)
        if as_json:
            print_json(
                ("rule", "outcome", "what", "mend"),
                [(v.rule, v.status, v.what, v.mend) for v in verdicts],
            )
        else:
            show_verdicts(verdicts)
        if any(verdict.status == "broken" for verdict in verdicts):
            raise typer.Exit(SOME_FAILED)


def kind_of(name: str, registry: Registry) -> Kind:
    """Return the only kind with a plugin of that name. Raises `UsageError`."""
    from gvr_bench.core.errors import UsageError, did_you_mean

    kinds = list(dict.fromkeys(r.plugin.kind for r in registry.rows if r.plugin.name == name))
    if not kinds:
        hint = did_you_mean(name, {row.plugin.name for row in registry.rows})
        raise UsageError(f"unknown plugin '{name}'{hint}")
    if len(kinds) > 1:
        raise UsageError(
            f"'{name}' is the name of a plugin of several kinds, {', '.join(kinds)}; say which, "
            f"e.g. --kind {kinds[0]}"
        )
    return kinds[0]


def made(
    kind: Kind, choice: ComponentSpec, data_root: Path | None, registry: Registry
) -> Component:
    """Make a component as a run of the quick profile would.

    Raises `UsageError`, `PluginError`, or `DataError` where its files are not there.
    """
    from gvr_bench.pipeline.graph import open_dataset
    from gvr_bench.registry.registry import blaming

    with blaming(f"{kind} '{choice.name}'"):
        if kind == "dataset":
            dataset = open_dataset(choice, "quick", data_root, registry)
            dataset.fingerprint()  # files that are not there are no fault of the plugin
            return dataset
        cls, settings = registry.settings(kind, choice.name, "quick", choice.settings)
        return cls(settings)


def show_verdicts(verdicts: Sequence[CheckResult]) -> None:
    """Print a line per rule, and how many are kept."""
    from rich.text import Text

    rows = []
    for verdict in verdicts:
        outcome = f"{verdict.status}: {verdict.what}" if verdict.what else verdict.status
        style = STYLES[verdict.status]
        rows.append([Text(verdict.rule), Text(outcome, style), Text(verdict.mend)])
    print_table(("rule", "outcome", "mend"), rows)
    count = {status: sum(v.status == status for v in verdicts) for status in STYLES}
    told = ", ".join(f"{n} {status}" for status, n in count.items() if n)
    print(f"{verdicts[0].whose}: {told}")
