"""What a perfect map shows: a signed change, or evidence, which a dark finding gives as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gvr_bench.api import open_explainer
from gvr_bench.metrics.case_specific import truth_of
from gvr_bench.metrics.true_change import true_change, true_map


def source(shows_change: bool, known: bool = True) -> Any:
    """One image, in which the finding makes one pixel brighter and one darker."""
    image = torch.tensor([[[[0.5, -0.5, 0.0]]]])
    return SimpleNamespace(
        image=image,
        true_counterfactual=torch.zeros_like(image) if known else None,
        maps_show_change=shows_change,
        read_optional=lambda stage, column: torch.tensor([[[True, True, False]]]),
    )


def perfect(known: Any) -> Any:
    return true_map(true_change(known), known)


def test_rationales_have_the_sign_of_the_change():
    assert perfect(source(True)).tolist() == [[[0.5, -0.5, 0.0]]]
    assert truth_of(source(True)).tolist() == [[[0.5, -0.5, 0.0]]]


def test_evidence_is_positive_for_a_dark_finding():
    assert perfect(source(False)).tolist() == [[[0.5, 0.5, 0.0]]]
    assert truth_of(source(False)).tolist() == [[[0.5, 0.5, 0.0]]]
    assert true_change(source(False)).tolist() == [[[0.5, -0.5, 0.0]]]


def test_masks_have_no_sign():
    assert perfect(source(False, known=False)) is None
    assert truth_of(source(True, known=False)).tolist() == [[[True, True, False]]]


@pytest.mark.parametrize(
    ("name", "settings", "shows_change"),
    [
        ("gvr", {}, True),
        ("adversarial", {}, True),
        ("template", {}, True),
        ("pattern", {}, True),
        ("guided-backprop", {}, True),
        ("rationale-gradient", {}, False),
        ("occlusion", {}, False),
        ("integrated-gradients", {}, False),
        ("saliency", {}, False),
        ("saliency", {"absolute": False}, True),
    ],
)
def test_explainers_say_what_their_sign_is(name, settings, shows_change):
    assert open_explainer(name, settings, "standard").maps_show_change == shows_change
