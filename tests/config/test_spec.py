"""What was asked for: inline settings, TOML, flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from gvr_bench.config.spec import (
    ComponentSpec,
    Spec,
    build_spec,
    parse_choice,
    read_spec,
    write_spec,
)
from gvr_bench.core.errors import UsageError


@pytest.fixture
def toml(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "spec.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "gvr:cutoff=1,steps",
            "cannot read 'steps' in 'gvr:cutoff=1,steps'; write gvr:setting=value",
        ),
        ("gvr:=3", "cannot read '=3'"),
        ("gvr:steps=3,steps=4", "sets 'steps' twice"),
        ("gvr:base.size=3,base.size=4", "sets 'base.size' twice"),
        ("gvr:base=3,base.size=4", "sets 'base.size' twice"),
        ("gvr:base.size=4,base=3", "sets 'base' twice"),
        (":steps=3", "names no component"),
        ("", "names no component"),
    ],
)
def test_unreadable_inline_settings_are_quoted(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_choice(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("gvr", {}),
        ("gvr:", {}),
        ("gvr:steps=3,cutoff=0.5", {"steps": "3", "cutoff": "0.5"}),
        ("gvr:expression=a=b", {"expression": "a=b"}),
        ("gvr:CIFAR10,steps=3", {"": "CIFAR10", "steps": "3"}),
        ("gvr:mnist,base.size=3,base.seed=1", {"": "mnist", "base": {"size": "3", "seed": "1"}}),
    ],
)
def test_inline_settings_are_read(text: str, settings: dict[str, object]) -> None:
    choice = ComponentSpec(name="gvr", settings=settings)
    assert parse_choice(text) == choice
    assert parse_choice(str(choice)) == choice


def test_settings_of_settings_are_the_same_in_toml(toml) -> None:
    typed = build_spec(None, {}, {"dataset": ["planted:folder,plant=shape,base.size=64"]})
    lines = '[[dataset]]\nname = "planted:folder"\nplant = "shape"\nbase.size = "64"'
    written = build_spec(toml(lines), {}, {})
    assert written.dataset == typed.dataset
    assert build_spec(toml(write_spec(typed)), {}, {}) == typed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('explaner = "gvr"', "unknown key 'explaner'; did you mean 'explainer'?"),
        ("max_cases = ", "cannot read the spec"),
        ("[[head]]\nsteps = 3", "every head needs a name"),
        ("head = 3", "every head needs a name"),
        ('head = "linear:ridge=1,steps"', "cannot read 'steps'"),
        ('[[dataset]]\nname = "of:mnist"\n"" = "digits"', "sets '' twice"),
    ],
)
def test_unreadable_spec_names_the_problem(toml, text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_spec(toml(text), {}, {})
    assert why in str(caught.value)


@pytest.mark.parametrize("text", ['explaner = "gvr"', "max_cases = ", "head = 3"])
def test_unreadable_spec_is_named(toml, text: str) -> None:
    with pytest.raises(UsageError, match=r"spec\.toml"):
        read_spec(toml(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("max_cases = 0", "max_cases = 0: Input should be greater than or equal to 1"),
        ('profile = "fast"', "profile = 'fast': Input should be 'quick', 'standard' or 'paper'"),
        ("seeds = []", "seeds = []: "),
        ('seeds = ["one"]', "seeds.0 = 'one': "),
        ("dataset = []", "dataset = []: "),
        ("explainer = []", "explainer = []: "),
        ("[latents]\ncopy = 3", "latents.copy = 3: "),
        ("[latents]\nshift = 0.5", "latents.shift = 0.5: "),
    ],
)
def test_value_out_of_range_is_named(toml, text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_spec(toml(text), {}, {})
    assert str(caught.value).startswith(why)


def test_a_missing_spec_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no spec .*absent\.toml"):
        read_spec(tmp_path / "absent.toml")


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the spec"):
        read_spec(tmp_path)


def test_a_binary_file_is_no_spec(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot read the spec"):
        read_spec(tmp_path / "spec.toml")


def test_components_are_names_or_tables(toml) -> None:
    spec = build_spec(
        toml(
            'head = ["linear", "mlp:units=8"]\ndataset = "digits"\n'
            '[generator]\nname = "vae"\nsteps = 3\n'
            '[[explainer]]\nname = "gvr"\ncutoff = 10.0\n[[explainer]]\nname = "edge"\n'
        ),
        {},
        {},
    )
    assert spec.dataset == (ComponentSpec(name="digits"),)
    assert spec.head == (
        ComponentSpec(name="linear"),
        ComponentSpec(name="mlp", settings={"units": "8"}),
    )
    assert spec.generator == (ComponentSpec(name="vae", settings={"steps": 3}),)
    assert spec.explainer == (
        ComponentSpec(name="gvr", settings={"cutoff": 10.0}),
        ComponentSpec(name="edge"),
    )


def test_flags_override_file_and_defaults(toml) -> None:
    file = toml('max_cases = 7\nseeds = [1, 2]\nprofile = "paper"\nhead = "mlp"\nencoder = "conv"')
    flags = {"max_cases": 9, "seeds": None, "profile": None, "data_root": None}
    spec = build_spec(file, flags, {"head": ["linear"], "encoder": ()})
    assert (spec.max_cases, spec.seeds, spec.profile) == (9, (1, 2), "paper")
    assert [c.name for c in spec.head] == ["linear"]
    assert spec.generator == ()


def test_duplicate_choices_count_once() -> None:
    spec = build_spec(None, {"seeds": [1, 0, 1]}, {"head": ["mlp", "linear", "mlp"]})
    assert spec.seeds == (1, 0)
    assert [c.name for c in spec.head] == ["mlp", "linear"]


@pytest.mark.parametrize(
    "spec",
    [
        Spec(),
        build_spec(
            None,
            {"seeds": [3, 1], "max_cases": 5, "data_root": "/some where", "profile": "paper"},
            {
                "dataset": ["digits:source=3,target=8"],
                "head": ["linear", "mlp:units=8"],
                "explainer": ["gvr:cutoff=0.25,steps=3", "all"],
            },
        ),
    ],
)
def test_written_spec_reads_back_equal(tmp_path: Path, spec: Spec) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(write_spec(spec), encoding="utf-8")
    assert build_spec(path, {}, {}) == spec
