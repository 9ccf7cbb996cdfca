from __future__ import annotations

import pytest
import torch
from gvr_encoders.inference import Inference
from gvr_generators.vae import Vae
from gvr_generators.wgan_gp import WganGp
from small_parts import Rack, context, frozen, same, seeded, weights

import gvr_bench.api as gvr

IMAGE = gvr.ImageSpec(1, 16)
ENCODER = Inference(Inference.Settings())


def test_encoder_is_that_of_the_generator():
    generator = frozen(seeded(lambda: Vae(Vae.Settings(width=4)).build(IMAGE)))
    net = seeded(lambda: ENCODER.build(IMAGE, generator))
    assert not same(weights(net), weights(generator.inference))
    pixels = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    ENCODER.fit(net, generator, Rack(pixels), context())
    assert torch.equal(net(pixels), generator.inference(pixels))
    assert net is not generator.inference


def test_generator_without_inference_is_named():
    generator = WganGp(WganGp.Settings(width=4)).build(IMAGE)
    with pytest.raises(gvr.UsageError, match="use --encoder conv"):
        ENCODER.build(IMAGE, generator)
