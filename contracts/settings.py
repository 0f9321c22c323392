"""Every setting, its default and its meaning; the one place that reads the environment.

Precedence: default < `adlens.yaml` in the landing folder (the fields of LandingSettings only) < `ADLENS_<NAME>`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import SettingsError


class LandingSettings(BaseModel):
    """What a landing folder may say of itself in `adlens.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_zone: str = Field("UTC", description="business time zone; a day begins at its midnight")
    attribution_window_minutes: int = Field(60, gt=0, description="a click later than this is no click of it")
    grace_minutes: int = Field(60, ge=0, description="a run starts this long after the window has closed")
    lateness_days: int = Field(3, ge=0, description="clicks landing up to this many days late still change a label")
    publication_delay_minutes: int = Field(0, ge=0, description="a snapshot is usable this long after its stamp")
    window_days: int = Field(32, gt=0, description="days that a run trains on")
    min_training_days: int = Field(7, gt=0, description="fewer days than this before D: no training")
    max_quarantined_share: float = Field(0.01, ge=0, le=1, description="more rows set aside stop the day")
    min_rows: int | None = Field(None, description="fewest impressions a day; None: half the trailing week's mean")
    max_rows: int | None = Field(None, description="most impressions a day; None: twice the trailing week's mean")
    min_ctr: float | None = Field(None, description="lowest CTR of a day; None: half the trailing week's")
    max_ctr: float | None = Field(None, description="highest CTR of a day; None: twice the trailing week's")
    ad_group_size: int = Field(25, gt=0, description="most impressions of an ad group, which share a picture")
    user_group_size: int = Field(500, gt=0, description="most impressions of a user group; more are split")
    gate_margin: float = Field(-0.01, description="lowest acceptable 95 % lower bound of AUC(new) - AUC(champion)")
    gate_min_rows: int = Field(500, gt=0, description="fewer held-out impressions: the gate says no")
    gate_min_clicks: int = Field(30, gt=0, description="fewer held-out clicks: the gate says no")
    gate_min_users: int = Field(30, gt=1, description="fewer held-out users: the gate says no, for it resamples users")


class Settings(LandingSettings):
    """All settings of a run."""

    home: Path = Field(Path(".adlens"), description="everything AdLens writes")
    landing: Path | None = Field(None, description="landing folder; None: <home>/landing, generated")
    real_data: Path | None = Field(None, description="MovieLens-100K-with-posters folder for the adapter")
    tables: str | None = Field(None, description="root of the Delta tables; None: <home>/tables; may be s3://...")
    recipe: str = Field("daily", description="training recipe: a name (training/recipes.py) or a YAML file with `base`")
    device: Literal["cpu", "cuda"] = Field("cpu", description="what training computes on; cuda: one GPU a process")
    feature_sets: str = Field("daily", description="feature sets whose columns the tables hold, comma between them")
    picture_cache_bytes: int = Field(
        4 * 2**30, ge=0, description="decoded pictures of one size kept on disk; more are decoded each time"
    )
    seed: int = Field(20260101, description="seed of training, of every bootstrap and of the ad groups' order")
    spark_master: str = Field("local[2]", description="Spark master of the stages run by hand")
    spark_memory: str = Field("2g", description="Spark driver heap")
    feast_engine: Literal["local", "spark.engine"] = Field(
        "local", description="who writes the online store: `local`, one process in batches; `spark.engine`, executors"
    )
    mlflow_uri: str | None = Field(None, description="MLflow tracking URI; None: SQLite in <home>/mlflow")
    slot: str = Field(
        "adlens", pattern=r"^[A-Za-z0-9._-]+$", description="serving slot: the name of its registered model in MLflow"
    )
    kfp_endpoint: str | None = Field(None, description="KFP API; None: kfp.local on this machine")
    outcome: Path | None = Field(
        None, description="file in which a release step that fails leaves its exit code; the pipeline sets it"
    )
    schedule: str = Field("0 2 * * *", description="cron of the daily DAG in time_zone; `none`: runs when asked for")
    data_slots: int | None = Field(
        None, gt=0, description="days whose features and groups Airflow makes at once; None: 1 on a local Spark, else 4"
    )
    stage_timeout_minutes: int = Field(720, gt=0, description="Airflow ends a task that takes longer")
    deadline_minutes: int = Field(240, ge=0, description="a daily run that takes longer raises an alert; 0: none does")
    alert_webhook: str | None = Field(
        None, description="name of the environment variable that holds a webhook's URL; None: alerts go to the log"
    )
    rerun_days: int = Field(7, ge=0, description="maintenance keeps what a run of a day this long ago would need")
    keep_bundles: int = Field(
        10, gt=1, description="the newest so many served bundles stay, whatever their age, so that one can go back"
    )
    vacuum_hours: int = Field(168, ge=0, description="files of older versions stay this long for their readers")
    log_retention_days: int = Field(30, ge=0, description="versions and `adlens changes` go back this long")
    optimize_file_mb: int = Field(128, gt=0, description="smaller files of a day are put together up to this size")
    table_bytes: int = Field(20 * 10**9, gt=0, description="budget of the lookup table; the least shown ads stay out")
    table_dimensions: int | None = Field(None, gt=0, description="numbers of a stored vector; None: all of the model's")
    table_storage: Literal["fp32", "fp16", "int8"] = Field("fp16", description="type of a stored vector's numbers")
    table_max_auc_loss: float = Field(
        0.0002, ge=0, description="AUC that storing may cost, upper 95 % bound; above it vectors are stored as they are"
    )
    table_paired_rows: int = Field(500_000, gt=0, description="most impressions on which that is measured")
    table_history_days: int = Field(14, gt=1, description="days from which tomorrow's impressions are expected")
    bootstrap_samples: int = Field(1000, gt=0, description="paired bootstrap by user in the gate")
    gate_gauc_margin: float = Field(
        -0.03, description="lowest acceptable 95 % lower bound of GAUC(new) - GAUC(champion); wide, for GAUC is noisy"
    )
    gate_slice_margin: float = Field(
        0.02, ge=0, description="a slice whose AUC has surely fallen by more than this is a no (Holm over all slices)"
    )
    auto_rollback: bool = Field(
        False, description="what is served goes back by itself where its mature quality left its band"
    )
    gate_suspicious_gain: float = Field(
        0.05, gt=0, description="an AUC gain that is surely above this is too good to be true: it waits for a person"
    )
    gate_min_coverage: float = Field(
        0.8, ge=0, le=1, description="share of held-out impressions whose ad must be in the challenger's table"
    )
    gate_max_bundle_mb: int = Field(20_480, gt=0, description="a larger bundle is a no; CSCNN's table takes 20 GB")
    gate_max_latency_ms: float = Field(
        250.0, gt=0, description="scoring a thousand ads must take less, best of several tries; wide: a busy laptop"
    )
    data_seed: int = Field(1, description="seed of the generated landing data")

    @property
    def home_path(self) -> Path:
        return self.home.expanduser().resolve()

    @property
    def landing_path(self) -> Path:
        return (self.landing or self.home_path / "landing").expanduser().resolve()

    @property
    def mlflow_tracking_uri(self) -> str:
        return self.mlflow_uri or f"sqlite:///{self.home_path / 'mlflow' / 'mlflow.db'}"


def _validated(values: dict[str, object], source: str, model: type[LandingSettings]) -> LandingSettings:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"{source}: {wrong}. Known settings: {', '.join(sorted(model.model_fields))}") from None


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises SettingsError naming the file or variable and the known names."""
    environ = os.environ if environ is None else environ
    from_environment: dict[str, object] = {
        name: environ[f"ADLENS_{name.upper()}"]
        for name in Settings.model_fields
        if environ.get(f"ADLENS_{name.upper()}", "") != ""
    }
    settings = _validated(from_environment, "environment (ADLENS_...)", Settings)
    assert isinstance(settings, Settings)
    from_folder = read_landing_yaml(settings.landing_path)
    merged = _validated({**from_folder, **from_environment}, "settings", Settings)
    assert isinstance(merged, Settings)
    return merged


def read_landing_yaml(landing: Path) -> dict[str, object]:
    """The landing folder's own settings ({} without a file)."""
    path = landing / "adlens.yaml"
    if not path.is_file():
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold `name: value` lines, found {type(values).__name__}")
    return _validated(values, str(path), LandingSettings).model_dump(include=set(values))
