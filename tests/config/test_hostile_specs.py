"""Specs and settings from anywhere: a spec, or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gvr_bench.config.spec import CHOICES, Spec, build_spec, parse_choice, write_spec
from gvr_bench.core.errors import UsageError
from gvr_bench.core.types import Kind
from gvr_bench.registry.registry import installed

FUZZ = settings(
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def fault(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError) as caught:
        build_spec(path, {}, {})
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spec.toml"


@pytest.mark.parametrize(
    "content",
    [
        "dataset = " + "[" * 100_000,
        "dataset = " + "{a=" * 50_000,
        "seeds = [" + "9" * 5_000 + "]",
        'dataset = "a\0b"',
        'dataset = "\x1b[2J"',
        "max_cases = 2026-01-01\nmax_cases = 3",
        "max_cases = 1e",
        b"max_cases = 3\xff",
        "max_cases = 3".encode("utf-16"),
        "\u202emax_cases = 3",
    ],
)
def test_invalid_toml_names_the_file(path: Path, content) -> None:
    assert fault(path, content).startswith(f"cannot read the spec {path}: ")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "true", "1979-05-27", "{}", "[3]", '"x"'])
@pytest.mark.parametrize(
    "field", ["max_cases", "seeds", "latents", "profile", "data_root", "metrics"]
)
def test_wrong_field_type_is_named(path: Path, field: str, value: str) -> None:
    path.write_text(f"{field} = {value}")
    if (field, value) in {("data_root", '"x"'), ("seeds", "[3]"), ("latents", "{}")} or (
        field,
        value,
    ) == ("max_cases", "true"):
        build_spec(path, {}, {})
        return
    line = fault(path, f"{field} = {value}")
    assert line.startswith((f"{field} = ", f"{field}."))


@pytest.mark.parametrize("kind", CHOICES)
@pytest.mark.parametrize("value", ["3", "[[]]", "[3]", "{}", "{name=3}", "[{name='a'}, 4]"])
def test_choice_without_name_is_refused(path: Path, kind: str, value: str) -> None:
    assert f"every {kind} needs a name" in fault(path, f"{kind} = {value}")


def test_byte_order_mark_is_accepted(path: Path) -> None:
    path.write_text("max_cases = 7", encoding="utf-8-sig")
    assert build_spec(path, {}, {}).max_cases == 7


# Anything at all

SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.just(10**400)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from([*Spec.model_fields, "name", "copies", "shift", "unknown"])


@FUZZ
@given(table=st.dictionaries(FIELDS, VALUES, max_size=4))
def test_any_table_parses_or_fails_cleanly(path: Path, table: dict[str, Any]) -> None:
    try:
        path.write_text(tomli_w.dumps(table), encoding="utf-8")
    except (ValueError, UnicodeEncodeError):  # not TOML to begin with
        return
    try:
        spec = build_spec(path, {}, {})
    except UsageError:
        return
    path.write_text(write_spec(spec), encoding="utf-8")
    assert build_spec(path, {}, {}) == spec


@FUZZ
@given(text=st.text(alphabet=st.sampled_from('ab=,:"\n[]{}.#1\0\u202e'), max_size=60))
def test_any_text_parses_or_fails_cleanly(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    try:
        build_spec(path, {}, {})
    except UsageError as error:
        assert str(error)  # noqa: PT017 - either will do


@FUZZ
@given(text=st.text(alphabet=st.sampled_from("gvr:=,.a1 \0\n\u202e"), max_size=30))
def test_inline_settings_parse_or_fail_cleanly(text: str) -> None:
    try:
        choice = parse_choice(text)
    except UsageError:
        return
    assert parse_choice(str(choice)) == choice


COMPONENTS: list[tuple[Kind, str]] = [
    (row.plugin.kind, row.plugin.name) for row in installed().rows if not row.problem
]


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
@settings(FUZZ, max_examples=25)
@given(data=st.data())
def test_bad_setting_is_refused_by_name(kind: Kind, name: str, data) -> None:
    if name == "quantus":
        pytest.importorskip("quantus", reason="pip install 'gvr-bench[quantus]'")
    known = list(installed().component(kind, name).Settings.model_fields)
    given = data.draw(st.dictionaries(st.sampled_from([*known, "unknown"]), VALUES, min_size=1))
    try:
        _, made = installed().settings(kind, name, "quick", given)
    except UsageError as error:
        assert f"{kind} '{name}'" in str(error)  # noqa: PT017 - either will do
    else:
        assert "NaN" not in made.model_dump_json()
