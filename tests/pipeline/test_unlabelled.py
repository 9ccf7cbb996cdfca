"""Generator and encoder may be trained on another data set than the one that is explained."""

from __future__ import annotations

import pytest
from tiny import plan_of

from gvr_bench.core.errors import UsageError
from gvr_bench.registry.registry import installed

OTHER = "phantom:size=32,train=160,validation=16,test=32,institution=b"


def test_other_image_sizes_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"--pretrain-dataset digits:size=16 has .* digits:size=32"
    ):
        plan_of(installed(), pretraining_dataset="digits:size=16")


def test_only_generator_and_encoder_are_pretrained() -> None:
    (single,) = plan_of(installed(), pretraining_dataset=OTHER).combinations
    (alone,) = plan_of(installed()).combinations
    assert single.data.key == alone.data.key
    for stage in (single.generator_stage, single.encoder_stage):
        assert stage.input("data").settings["institution"] == "b"
    for stage in (single.head_stage.input("latents"), single.prediction, single.cases):
        assert stage.input("data").key == single.data.key


def test_label_names_the_pretraining_data() -> None:
    (single,) = plan_of(installed(), pretraining_dataset=OTHER).combinations
    assert single.generator == "wgan-gp on phantom"
    (same,) = plan_of(
        installed(), pretraining_dataset="phantom:size=32,train=160,validation=16,test=32"
    ).combinations
    assert same.generator == "wgan-gp"


def test_generator_is_shared_by_data_sets() -> None:
    labelled = [f"phantom:size=32,train=160,validation=16,test=32,labelled={s}" for s in (0.1, 0.5)]
    first, second = plan_of(installed(), dataset=labelled, pretraining_dataset=OTHER).combinations
    assert first.encoder_stage.key == second.encoder_stage.key
    assert first.head_stage.key != second.head_stage.key


def test_supervised_encoder_uses_labelled_data() -> None:
    (single,) = plan_of(installed(), pretraining_dataset=OTHER, encoder="supervised").combinations
    assert single.encoder_stage.input("data").key == single.data.key
    assert single.generator_stage.input("data").key != single.data.key
