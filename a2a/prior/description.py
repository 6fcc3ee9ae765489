"""What the JSON beside the weights of a prior says. Explained in the chapter "The diffusion prior"."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from a2a.common.names import Name
from a2a.networks.plain import PlainConfig
from a2a.networks.unet import UNetConfig
from a2a.prior.schedule import NoiseSchedule
from a2a.prior.target import Predicts
from a2a.prior.weights import Description, modest


class Tables(BaseModel):
    """What a JSON says of a `Calibration`; its tables are with the weights."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    times: tuple[int, ...] = Field(min_length=1)


class Named(BaseModel):
    """What a JSON says of an `Expert`: the name of its weights, which lie beside, and when and how it answers."""

    model_config = ConfigDict(extra="forbid")

    weights: Name
    since: int = Field(ge=1)
    mirrored: bool = False


class PriorDescription(Description):
    """What the JSON beside the weights of a prior says."""

    expert: Named | None = None
    network: Annotated[UNetConfig, AfterValidator(modest)]
    schedule: NoiseSchedule
    predicts: Predicts
    calibration: Tables | None

    @model_validator(mode="before")
    @classmethod
    def _of_this_form(cls, content: Any) -> Any:
        """Refuse what an older version wrote: its tables were in the JSON, and its words were others."""
        old = isinstance(content, dict) and isinstance(content.get("network"), dict) and (
            "levels" in content["network"] or "error" in (content.get("calibration") or {})
        )  # fmt: skip
        if old:
            raise ValueError("it is of an older form; fetch both files again")
        return content


class PlainDescription(PriorDescription):
    """The same of a prior with a plain network."""

    network: PlainConfig  # type: ignore[assignment]
