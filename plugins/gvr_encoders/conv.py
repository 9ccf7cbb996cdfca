"""A convolutional encoder, trained through the frozen generator."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr


class Selu(nn.SELU):
    """SELU by `gvr.selu`."""

    def forward(self, x: Tensor) -> Tensor:
        return gvr.selu(x)


class ConvNet(nn.Module):
    """Image (N, C, H, W) -> latent (N, D) by strided 4 x 4 convolutions with SELU down to 4 x 4."""

    def __init__(self, image: gvr.ImageSpec, latent_dim: int, width: int) -> None:
        super().__init__()
        halvings = math.floor(math.log2(image.size / 4))
        if halvings < 1:
            raise gvr.UsageError(
                f"encoder 'conv' needs images of 8 pixels or more, not {image.size}; "
                "set the data set's size"
            )
        channels = [image.channels, *(width * 2**i for i in range(halvings))]
        self.maps = nn.Sequential()
        for narrow, wide in itertools.pairwise(channels):
            conv = nn.Conv2d(narrow, wide, 4, 2, 1)
            nn.init.normal_(conv.weight, std=conv.weight[0].numel() ** -0.5)
            nn.init.zeros_(conv.bias)
            self.maps.extend([conv, Selu()])
        side = image.size >> halvings
        self.last = nn.Linear(channels[-1] * side**2, latent_dim)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x.contiguous(memory_format=torch.channels_last))
        z: Tensor = self.last(maps.flatten(1))
        return z


class ConvEncoder(gvr.Encoder):
    """An encoder whose network is `ConvNet`."""

    def build(self, image: gvr.ImageSpec, generator: nn.Module) -> nn.Module:
        latent_dim = generator.latent_dim
        assert isinstance(latent_dim, int)
        return ConvNet(image, latent_dim, self.settings.width)


class Conv(ConvEncoder):
    """Convolutional encoder trained with the Laplacian-pyramid loss through the frozen generator.

    Source: generative visual rationales (2018), section 2; the loss is Bojanowski et al. 2017.
    """

    class Settings(gvr.Settings):
        """The papers do not specify architecture and optimiser."""

        width: int = Field(64, ge=1, description="channels at half the image size")
        steps: int = Field(200_000, ge=1)
        batch: int = Field(64, ge=2)
        learning_rate: float = Field(1e-3, gt=0, description="at the start; falls to 0 as a cosine")
        shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest translation, of the size")
        validation: float = Field(
            1 / 16, gt=0, lt=1, description="share of the patients held out (15:1 in the papers)"
        )
        prior: float = Field(
            0.0, ge=0, description="weight of the latent's distance from a standard normal"
        )

    profiles = {
        "quick": {"width": 32, "steps": 1500},
        "standard": {"width": 32, "steps": 20_000},
    }
    settings: Settings
    data_parallel = True

    def fit(
        self, net: nn.Module, generator: nn.Module, images: gvr.Images, ctx: gvr.Context
    ) -> None:
        """Minimise the Laplacian loss between an image and its reconstruction."""
        s = self.settings
        train, validation = hold_out(images.patient_ids, s.validation, ctx)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        adam = torch.optim.Adam(net.parameters(), s.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, s.steps)
        state: dict[str, gvr.Stateful] = {"encoder": net, "optimiser": adam, "schedule": schedule}
        check = images[validation[: 4 * s.batch]]
        shift, share = round(s.shift * check.shape[-1]), ctx.shard(s.batch)
        for step in ctx.loop(s.steps, state, batch=s.batch, images=len(train)):
            rng = ctx.rng(step)
            drawn = torch.randint(len(train), (s.batch,), generator=rng)
            x = gvr.translate(images[train[drawn[share.rows]]], shift, rng, share)
            with ctx.autocast():
                z = net(x)
                reconstruction = generator(z)
            loss = laplacian_loss(reconstruction.float(), x)
            if s.prior:
                loss = loss + s.prior * z.float().square().mean()
            adam.zero_grad(set_to_none=True)
            loss = ctx.backward(loss, net.parameters(), share)
            adam.step()
            schedule.step()
            if not math.isfinite(loss.item()):
                ctx.log(loss=loss.item())
            if step % max(1, s.steps // 50) == 0 or step + 1 == s.steps:
                with torch.no_grad(), ctx.autocast():
                    decoded = generator(net(check)).float()
                (mse,) = ctx.all_reduce_mean(share, F.mse_loss(reconstruction.float(), x))
                ctx.log(
                    laplacian=loss.item(),
                    mse=mse.item(),
                    validation_laplacian=laplacian_loss(decoded, check).item(),
                    validation_mse=F.mse_loss(decoded, check).item(),
                )


def hold_out(
    patient_ids: np.ndarray[tuple[int], np.dtype[np.str_]], share: float, ctx: gvr.Context
) -> tuple[Tensor, Tensor]:
    """Split positions by patient into non-empty training and held-out parts.

    Raises `DataError` if there is a single patient.
    """
    patients, patient = np.unique(patient_ids, return_inverse=True)
    if len(patients) < 2:
        raise gvr.DataError("the encoder's validation needs images of two patients or more")
    order = torch.randperm(len(patients), generator=ctx.rng("hold out")).numpy()
    held = np.zeros(len(patients), bool)
    held[order[: min(max(1, round(share * len(patients))), len(patients) - 1)]] = True
    positions = torch.arange(len(patient))
    is_held = torch.from_numpy(held[patient])
    return positions[~is_held], positions[is_held]


def laplacian_loss(a: Tensor, b: Tensor, levels: int = 3) -> Tensor:
    """Return the L1 distance of the Laplacian pyramids, level j weighted by 2^(-2j) of its sum.

    `a`, `b` (N, C, H, W). Since level j has 2^(-2j) as many pixels, this is the sum of the levels'
    means (Bojanowski et al. 2017).
    """
    total = a.new_zeros(())
    rest = a - b  # the pyramid is linear
    for _ in range(levels):
        if rest.shape[-1] < 8:
            break
        small = F.avg_pool2d(blur(rest), 2, ceil_mode=True)
        detail = rest - F.interpolate(small, rest.shape[-2:], mode="bilinear", align_corners=False)
        total = total + detail.abs().mean()
        rest = small
    return total + rest.abs().mean()


def blur(x: Tensor) -> Tensor:
    """Smooth with the binomial kernel 1 4 6 4 1 in both directions, repeating the border."""
    c = x.shape[1]
    kernel = x.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")
    x = F.conv2d(x, kernel.view(1, 1, 1, 5).expand(c, 1, 1, 5), groups=c)
    return F.conv2d(x, kernel.view(1, 1, 5, 1).expand(c, 1, 5, 1), groups=c)
