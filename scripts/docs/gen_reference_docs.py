"""Pages of the reference that are made from the code: commands, components, experiments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gvr_bench.api import Component
from gvr_bench.cli.main import app
from gvr_bench.config.experiments import Experiment, experiments
from gvr_bench.core.types import KINDS
from gvr_bench.registry.registry import PROFILES, PluginRow, installed

OURS = "gvr-bench "  # the distribution whose components are told of
KIND_TITLES = {
    "dataset": "Data sets",
    "generator": "Generators",
    "encoder": "Encoders",
    "head": "Heads",
    "explainer": "Explainers",
}


def pages() -> Iterator[tuple[str, str]]:
    """Yield file names, as in `docs`, and their Markdown."""
    yield "reference/cli.md", cli_page()
    yield "reference/components.md", components_page()
    yield "reference/experiments.md", experiments_page()


def cli_page() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    lines = [
        "# Command line",
        "",
        "Bad input ends in one line on stderr and exit code 2. Exit code 1 says that some stage",
        "failed and the rest is reported, 130 and 143 that a signal ended the command.",
        "",
        "`gvr-bench --install-completion` teaches the shell to complete commands, options and the",
        "names of components.",
    ]
    for command, ctx in commands(typer.main.get_command(app), "gvr-bench"):
        lines += ["", f"## {ctx.command_path}", "", plain(command.help)]
        lines += ["", "```text", " ".join(command.get_usage(ctx).split()), "```"]
        rows = [record for p in command.get_params(ctx) if (record := p.get_help_record(ctx))]
        lines += table(("argument or option", ""), [(f"`{a}`", plain(b)) for a, b in rows])
    return "\n".join(lines) + "\n"


def commands(command: Any, name: str, parent: Any = None) -> Iterator[tuple[Any, Any]]:
    """Yield a command of click, or of what Typer makes of it, with its context, and all below."""
    ctx = command.context_class(command, info_name=name, parent=parent)
    yield command, ctx
    for below in command.list_commands(ctx) if hasattr(command, "list_commands") else ():
        yield from commands(command.get_command(ctx, below), below, ctx)


def components_page() -> str:
    """Every component that comes with the package, with its settings."""
    lines = [
        "# Components and settings",
        "",
        "Settings are typed behind the name, as in `--explainer gvr:penalty=10,steps=300`, or in a",
        "spec. Where a component has other values for each profile (`--profile`), its table has a",
        "column for each: `quick` is what runs where none is named, `paper` what was published.",
    ]
    for kind in KINDS:
        lines += ["", f"## {KIND_TITLES[kind]}"]
        for row in installed().rows:
            if row.plugin.kind == kind and row.distribution.startswith(OURS):
                lines += component(row)
    return "\n".join(lines) + "\n"


def component(row: PluginRow) -> list[str]:
    """What there is to know of one component."""
    cls = installed().component(row.plugin.kind, row.plugin.name)
    lines = ["", f"### {row.plugin.name}", "", f"*{row.plugin.summary}*"]
    lines += ["", plain(inspect.getdoc(cls))]
    if cls.argument:
        lines += ["", f"`{row.plugin.name}:VALUE` sets `{cls.argument}`."]
    rows = [setting(name, field, cls) for name, field in cls.Settings.model_fields.items()]
    values = PROFILES if cls.profiles else ("default",)
    return lines + table(("setting", "", *values, ""), rows)


def setting(name: str, field: FieldInfo, cls: type[Component]) -> tuple[str, ...]:
    """One row: name, type and range, value in each profile, what it is."""
    default = "must be given" if field.default is PydanticUndefined else code(field.default)
    given = [cls.profiles.get(profile, {}) for profile in PROFILES] if cls.profiles else [{}]
    values = [code(profile[name]) if name in profile else default for profile in given]
    return f"`{name}`", kind_of(field), *values, field.description or ""


def kind_of(field: FieldInfo) -> str:
    """Type and range of a setting, for people."""
    text = re.sub(r"\b([a-z_]\w*\.)+", "", inspect.formatannotation(field.annotation))
    text = re.sub(r"Literal\[([^]]*)\]", lambda found: found[1].replace("'", ""), text)
    signs = {"gt": "> ", "ge": "≥ ", "lt": "< ", "le": "≤ "}
    limits = [
        f"{sign}{getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in signs.items()
        if hasattr(limit, name)
    ]
    return ", ".join([f"`{text}`", *limits])


def experiments_page() -> str:
    """The experiments of the papers, each with its spec."""
    lines = [
        "# Experiments",
        "",
        "Each is a spec that comes with the package, run by name and reported beside the numbers",
        "that were printed: see [repeat the papers](../how-to/repeat-the-papers.md).",
    ]
    for one in experiments():
        lines += ["", f"## {one.name}", "", f"**{one.title}** ({one.figures}). {one.shown['text']}"]
        lines += ["", "```toml", tomli_w.dumps(one.spec).rstrip(), "```", "", published(one)]
    return "\n".join(lines) + "\n"


def published(one: Experiment) -> str:
    """How many printed numbers an experiment is set beside."""
    rows = one.shown.get("published", [])
    if not rows:
        return "The papers print no numbers of it."
    sources = " and ".join(dict.fromkeys(row["column"] for row in rows))
    return f"Set beside {len(rows)} printed numbers: {sources}."


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Write a table; none where it has no rows."""
    if not rows:
        return []
    lines = [head, ("---",) * len(head), *rows]
    return ["", *("| " + " | ".join(map(cell, line)) + " |" for line in lines)]


def cell(text: str) -> str:
    """Text that ends no cell and is no HTML; code is left as it is."""
    parts = text.split("`")
    parts[::2] = [part.replace("|", "\\|").replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def code(value: Any) -> str:
    """Write a value as it is typed."""
    if value is None:
        return "none"
    text = "true" if value is True else "false" if value is False else str(value)
    return f"`{Path(value) if isinstance(value, Path) else text}`"


def plain(text: str | None) -> str:
    """A text of the command line without what only its terminal needs."""
    return inspect.cleandoc(text or "").replace("\\[", "[").replace("\f", "").replace("  [", " [")
