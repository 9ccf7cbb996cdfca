"""Generate the reference of commands, components and experiments from the code."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import tomli_w
import typer

from gvr_bench.cli.main import app
from gvr_bench.config.experiments import Experiment, experiments
from gvr_bench.core.types import KINDS
from gvr_bench.registry.description import describe
from gvr_bench.registry.registry import PluginRow, installed

OURS = "gvr-bench "  # start of the distribution whose components are listed
KIND_TITLES = {
    "dataset": "Data sets",
    "generator": "Generators",
    "encoder": "Encoders",
    "head": "Heads",
    "explainer": "Explainers",
    "metric": "Metrics",
}


def pages() -> Iterator[tuple[str, str]]:
    """Yield the path and Markdown of each page."""
    yield "reference/cli.md", cli_page()
    yield "reference/components.md", components_page()
    yield "reference/experiments.md", experiments_page()


def cli_page() -> str:
    """List every command with its arguments and options, as in `--help`."""
    lines = [
        "# Command line",
        "",
        "Invalid input ends with one line on stderr and exit code 2. Exit code 1 means that a",
        "stage failed and the rest is reported; 130 and 143 mean that a signal ended the command.",
        "",
        "`gvr-bench --install-completion` enables shell completion of commands, options and names",
        "of components.",
    ]
    for command, ctx in commands(typer.main.get_command(app), "gvr-bench"):
        lines += ["", f"## {ctx.command_path}", "", plain(command.help)]
        lines += ["", "```text", " ".join(command.get_usage(ctx).split()), "```"]
        rows = [record for p in command.get_params(ctx) if (record := p.get_help_record(ctx))]
        lines += table(("argument or option", ""), [(f"`{a}`", plain(b)) for a, b in rows])
    return "\n".join(lines) + "\n"


def commands(command: Any, name: str, parent: Any = None) -> Iterator[tuple[Any, Any]]:
    """Yield a command and its subcommands, each with its context."""
    ctx = command.context_class(command, info_name=name, parent=parent)
    yield command, ctx
    for child in command.list_commands(ctx) if hasattr(command, "list_commands") else ():
        yield from commands(command.get_command(ctx, child), child, ctx)


def components_page() -> str:
    """List every component of the package with its settings."""
    lines = [
        "# Components and settings",
        "",
        "Settings follow the name, as in `--explainer gvr:penalty=10,steps=300`, or are in a",
        "spec. If the values depend on the profile (`--profile`), the table has a column for each:",
        "`quick` is the default, `paper` has the published values.",
    ]
    for kind in KINDS:
        lines += ["", f"## {KIND_TITLES[kind]}"]
        for row in installed().rows:
            if row.plugin.kind == kind and row.distribution.startswith(OURS):
                lines += component(row)
    return "\n".join(lines) + "\n"


def component(row: PluginRow) -> list[str]:
    """Describe one component."""
    info = describe(installed(), row.plugin.kind, row.plugin.name)
    lines = ["", f"### {info.name}", "", f"*{info.summary}*", "", plain(info.text)]
    if info.argument:
        lines += ["", f"`{info.name}:VALUE` sets `{info.argument}`."]
    lines += ["", f"`{info.example}`"]
    rows = [
        (code(s.name), code(s.type), *map(code, s.values.values()), s.meaning)
        for s in info.settings
    ]
    profiles = tuple(info.settings[0].values) if info.settings else ()
    return lines + table(("setting", "", *profiles, ""), rows)


def experiments_page() -> str:
    """List the experiments of the papers, each with its spec."""
    lines = [
        "# Experiments",
        "",
        "Each is a spec that comes with the package. It is run by name and reported beside the",
        "published numbers: see [Repeat the papers](../how-to/repeat-the-papers.md).",
    ]
    for e in experiments():
        figures = f" ({e.figures})" if e.figures else ""
        lines += ["", f"## {e.name}", "", f"**{e.title}**{figures}. {e.shown['text']}"]
        lines += ["", "```toml", tomli_w.dumps(e.spec).rstrip(), "```", "", published(e)]
    return "\n".join(lines) + "\n"


def published(experiment: Experiment) -> str:
    """Say how many published numbers an experiment is compared with."""
    rows = experiment.shown.get("published", [])
    if not rows:
        return "The papers give no numbers for it."
    sources = " and ".join(dict.fromkeys(row["column"] for row in rows))
    return f"Compared with {len(rows)} published numbers: {sources}."


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table; none if it has no rows."""
    if not rows:
        return []
    lines = [head, ("---",) * len(head), *rows]
    return ["", *("| " + " | ".join(map(cell, line)) + " |" for line in lines)]


def cell(text: str) -> str:
    """Escape text for a cell of a table; code is left as it is."""
    parts = text.split("`")
    parts[::2] = [part.replace("|", "\\|").replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def code(text: str) -> str:
    """Mark text as code."""
    return f"`{text}`" if text else ""


def plain(text: str | None) -> str:
    """Remove the terminal markup from a help text."""
    return cleandoc(text or "").replace("\\[", "[").replace("\f", "").replace("  [", " [")
