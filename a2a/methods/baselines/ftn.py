"""FTN after Zhou et al. 2023, details ours: one U-Net for all sites, whose features each site transforms by itself.

Zhou et al., Medical Image Analysis 2023 (FedFTN), denoise PET at several sites and publish an outline; PMM-Synth's
authors train it centrally and translate one image to another. The layers, and the maps that name source and target, are
our reading.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.collections import TranslationConfig, TranslationMethod, TranslationObjective
from a2a.methods.registry import method
from a2a.networks.personal import STRIDE, SiteUNet
from a2a.training.config import Width


class FTNConfig(TranslationConfig):
    """A run of FTN; sizes and training are our reading.

    Parameters
    ----------
    widths
        Channels of the three levels.
    """

    method: Literal["ftn"] = "ftn"
    widths: tuple[Width, Width, Width] = (32, 64, 128)
    batch: int = Field(8, ge=1)
    lr: float = Field(2e-4, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)


FTNConfig.model_rebuild()


class FTNObjective(TranslationObjective):
    """Training of FTN: L1, which blurs, and nothing else."""

    config: FTNConfig

    @property
    def method(self) -> type["FTN"]:
        """`FTN`."""
        return FTN

    def discriminator(self) -> None:
        """There is none."""

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Mean absolute error."""
        image, wanted, *told = inputs
        return (networks[name](image, *told).float() - wanted).abs().mean()


@method
@dataclass(frozen=True, eq=False)
class FTN(TranslationMethod[FTNConfig]):
    """FTN with trained weights, after Zhou et al. 2023, details ours: translates one image."""

    name: ClassVar[str] = "ftn"
    fill: ClassVar[str] = "absent"
    Config: ClassVar[type[FTNConfig]] = FTNConfig
    Objective: ClassVar[type[FTNObjective]] = FTNObjective

    @classmethod
    def build(cls, config: FTNConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the network.

        Raises
        ------
        InputError
            If the slices cannot be halved twice.
        """
        if size % STRIDE:
            raise InputError(f"slices of side {size} do not fit ftn, {STRIDE} must divide the side.")
        return SiteUNet(config.sites, len(spec), config.widths)
