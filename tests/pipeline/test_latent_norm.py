"""Lengths of latents are compared with those of training images, whatever the head sees."""

from __future__ import annotations

from pathlib import Path

from tiny import command, records_of


def test_network_of_images_has_latent_norms(cli) -> None:
    head = "cnn:steps=2,width=4,batch=8"
    typed = command("--out", "run", metrics=["proximity"], head=head, explainer="gvr:steps=3")
    assert cli(*typed).code == 0
    rows = [r for r in records_of(Path("run")) if r["metric"] == "latent_norm_ratio"]
    assert rows
    assert not any("failed" in (r["reason"] or "") for r in rows)
