"""What a training run is: a frozen config that refuses unknown keys, and functions that return full ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from contracts.errors import SettingsError
from contracts.features import FEATURE_SETS

Grouping = Literal["ad", "user", "none"]


class Recipe(BaseModel):
    """One model and how it is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    feature_set: str = "daily"

    # The picture's side.
    backbone: Literal["none", "resnet18", "cnn_f", "inception_v1"] = Field(
        default="resnet18", description="none: no picture"
    )
    attention: Literal["none", "se", "cbam_channel", "cbam"] = Field(default="cbam", description="CSCNN's Table 5")
    category_prior: bool = Field(default=True, description="the attention is told the category: CSCNN")
    attention_layers: int | None = Field(default=None, ge=0, description="L': the last so many; None is all of them")
    cnn_start: Path | None = Field(default=None, description="safetensors in torchvision's names to start the CNN from")
    cnn_start_digest: str = Field(default="", description="SHA-256 of that file; required with it")
    warm: Literal["none", "cnn", "all"] = Field(
        default="cnn", description="taken from what served before: nothing; the CNN; all weights and rows, and then "
        "only days that no ancestor has seen are learnt from",
    )  # fmt: skip
    cnn_fixed: bool = Field(default=False, description="the CNN is not trained; each picture goes through it once")
    image_size: int = Field(default=224, gt=0, description="pixels a side")
    visual_dimension: int = Field(default=150, gt=0, description="d_v; ignored where backbone is none")
    width: int = Field(default=64, gt=0, description="channels of the first stage; 64 is the papers' own")
    prior_channels: int = Field(default=20, gt=0, description="C', CSCNN 3.3.4")
    prior_size: int = Field(default=6, gt=0, description="H' = W', CSCNN 3.3.4")
    reduction: int = Field(default=4, gt=0, description="of the channel attention's MLP")

    # DCN (Eq 3 to 6).
    deep: tuple[int, ...] = Field(default=(1024, 512, 256), min_length=1)
    cross_layers: int = Field(default=3, ge=0)
    cross_input: Literal["all", "non_visual"] = Field(
        default="non_visual", description="z_0 of Eq 5; non_visual: x_nv, as printed; all: [x_v, x_nv]"
    )

    # The reader.
    grouping: Grouping = Field(
        default="ad", description="kept together in a batch: an ad's impressions, a user's, or none, nothing shared"
    )
    loader_workers: int = Field(default=0, ge=0, description="processes that read; 0: a thread of this one")
    prefetch: int = Field(default=2, gt=0, description="batches made ahead")
    prefetch_threads: int = Field(default=2, gt=0, description="threads that load pictures and make batches")
    unreadable_bound: float = Field(
        default=0.2, ge=0, le=1, description="a larger share of missing or unreadable pictures stops training"
    )

    # The loop.
    loss: Literal["pointwise", "pairwise"] = Field(
        default="pointwise", description="pairwise: CSCNN's Appendix A; its scores rank and are no click rates"
    )
    epochs: int = Field(default=1, gt=0)
    held_out_days: int = Field(default=0, ge=0, description="last days of the window, for the early stop alone")
    patience: int = Field(default=1, gt=0, description="epochs without a gain on them before training ends")
    pictures_per_batch: int = Field(default=64, gt=0)
    impressions_per_picture: int = Field(default=25, gt=0, description="of one ad in a batch; CSCNN groups at most 25")
    buffer_impressions: int = Field(default=100_000, gt=0, description="size of the shuffle buffer")
    embedding_rate: float = Field(default=0.02, gt=0, description="row-wise Adagrad")
    dense_rate: float = Field(default=1e-3, gt=0, description="Adam, DCN's layers")
    cnn_rate: float = Field(default=1e-3, gt=0, description="Adam, convolutions and head")
    prior_rate: float = Field(default=1e-2, gt=0, description="Adam, A_c and A_s: each category sees few pictures")
    rate_end: float = Field(default=1.0, gt=0, le=1, description="Adam's rates fall to this share over a pass")
    picture_loss: float = Field(
        default=0.0, ge=0, description="weight of a second loss, of a linear logit of x_v alone; no part of the model"
    )
    warm_up: float = Field(default=0.0, ge=0, lt=1, description="share of the training over which Adam's rates rise")
    clip_norm: float | None = Field(default=None, gt=0, description="largest norm of the dense gradients together")
    unknown_ad_share: float = Field(default=0.0, ge=0, lt=1, description="training rows whose ad_id is hidden")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="of the CNN; never of DCN")
    bn_batches: int = Field(default=100, ge=0, description="batches whose mean replaces BatchNorm's running ones")
    number_sample: int = Field(default=100_000, gt=0, description="numbers a feature's quantile bins are fitted on")
    checkpoint_minutes: float = Field(default=10.0, ge=0, description="between checkpoints")
    threads: int = Field(default=2, gt=0)

    @field_validator("feature_set")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FEATURE_SETS:
            raise ValueError(f"no feature set '{name}'; known: {', '.join(sorted(FEATURE_SETS))}")
        return name

    @property
    def d_v(self) -> int:
        return 0 if self.backbone == "none" else self.visual_dimension


def production() -> Recipe:
    """CSCNN's production model: 95 features of 4 (380), 224 pixels, d_v 150, C' 20, H' 6, deep 1024-512-256, three
    cross layers. The paper's CNN starts from ImageNet (C26): name that file in `cnn_start`, none comes with this."""
    return Recipe(name="production", feature_set="production", cnn_rate=1e-4, precision="bfloat16", threads=8)


def daily() -> Recipe:
    """The laptop's model: small pictures through a quarter-width ResNet18, about a minute of one core a day."""
    return Recipe(
        name="daily", image_size=32, visual_dimension=16, width=16, prior_size=4,
        deep=(128, 64, 32), cross_layers=2, cross_input="all", pictures_per_batch=16, impressions_per_picture=16,
        cnn_rate=1e-3, dense_rate=5e-3, rate_end=0.02, unknown_ad_share=0.3,
        picture_loss=1.0,  # an ad's past click rate explains its look away: without it the CNN hardly learns
        threads=1,  # two spin at barriers: on two busy cores one thread is 20 times faster than two
    )  # fmt: skip


def daily_dcn() -> Recipe:
    """`daily` without pictures: what the picture's gain is measured against."""
    return daily().model_copy(update={"name": "daily_dcn", "backbone": "none"})


def daily_cnn() -> Recipe:
    """`daily` with a plain CNN."""
    return daily().model_copy(update={"name": "daily_cnn", "attention": "none", "category_prior": False})


def daily_cbam() -> Recipe:
    """`daily` with attention that is not told the category."""
    return daily().model_copy(update={"name": "daily_cbam", "category_prior": False})


def tiny() -> Recipe:
    """For tests: seconds."""
    return daily().model_copy(
        update={
            "name": "tiny", "image_size": 16, "visual_dimension": 8, "width": 8, "deep": (32, 16),
            "buffer_impressions": 4_000, "bn_batches": 10, "pictures_per_batch": 8,
            "embedding_rate": 0.1, "dense_rate": 2e-3, "unknown_ad_share": 0.0,
        }
    )  # fmt: skip


RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe for recipe in (production, daily, daily_dcn, daily_cnn, daily_cbam, tiny)
}


def recipe(name: str) -> Recipe:
    """A recipe by name, or a variant from a YAML file: `base: <name>` and the fields that differ.

    Raises SettingsError for a name that is no recipe, and for a file that is none or has unknown or wrong fields.
    """
    if name.endswith((".yaml", ".yml")):
        return _variant(Path(name))
    if name not in RECIPES:
        raise SettingsError(f"no recipe '{name}' (ADLENS_RECIPE or --against); known: {', '.join(sorted(RECIPES))}")
    return RECIPES[name]()


def _variant(file: Path) -> Recipe:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        base = recipe(values.pop("base"))
        return Recipe.model_validate(base.model_dump() | {"name": file.stem} | values)
    except (OSError, yaml.YAMLError, AttributeError, TypeError, KeyError, ValidationError) as error:
        raise SettingsError(
            f"{file} is no recipe ({error}); it holds `base: daily`, say, and below it the fields that differ: "
            f"{', '.join(Recipe.model_fields)}"
        ) from None
