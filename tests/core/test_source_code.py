"""Code that was edited has another digest; what is installed counts by its record."""

from __future__ import annotations

from pathlib import Path

import pytest

from gvr_bench.core.digests import source_digest


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that imports a module beside it, which imports another one and numpy."""
    package = tmp_path / "mine_for_digest"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "explainer.py").write_text("from beside_for_digest import turn\n")
    (tmp_path / "beside_for_digest.py").write_text("import numpy\nimport far_for_digest\n")
    (tmp_path / "far_for_digest.py").write_text("sign = 1\n")
    (tmp_path / "unrelated_for_digest.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def digest() -> str:
    return source_digest("mine_for_digest.explainer")


@pytest.mark.parametrize(
    "name",
    ["mine_for_digest/__init__.py", "mine_for_digest/explainer.py", "beside_for_digest.py",
     "far_for_digest.py"],
)  # fmt: skip
def test_edited_code_has_another_digest(code: Path, name: str) -> None:
    before = digest()
    assert digest() == before
    (code / name).write_text((code / name).read_text() + "\nedited = True\n")
    assert digest() != before


def test_unrelated_module_is_left_out(code: Path) -> None:
    before = digest()
    (code / "unrelated_for_digest.py").write_text("x = 1")
    assert digest() == before


def test_digest_imports_nothing(code: Path) -> None:
    (code / "far_for_digest.py").write_text("raise SystemExit('imported')")
    assert digest()


def test_own_components_have_no_digest() -> None:
    assert source_digest("gvr_explainers.gvr") == source_digest("gvr_bench.api") == ""


def test_installed_package_counts_by_record() -> None:
    assert source_digest("numpy.linalg") == source_digest("numpy") != source_digest("pytest")


def test_module_without_file_is_empty() -> None:
    assert source_digest("no_such_module_at_all") == source_digest("another_missing_module")
