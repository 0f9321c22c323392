"""The format of what is served: a folder `<home>/bundles/<digest>/`, immutable, named by its content.

    bundle.json         BundleInfo, and the SHA-256 of every other file
    weights.safetensors the DCN without its CNN, float32 (names: see WEIGHTS)
    rows.safetensors    vocabularies and bin edges (contracts.rows.to_arrays)
    visual.table        the lookup table (serving/table_file.py): codes of its ads, their vectors, the fallbacks

Feature order in x_nv is the order of `features`; a feature's vector is its embedding row, for a multi_hot or sequence
the mean over its real rows (zeros when there is none).

WEIGHTS (torch's Linear layout, [out, in]):
    embedding.<feature>.weight [rows, dimension]
    deep.0.weight/.bias        x_nv -> first deep layer      (Eq 3: h1 = [x_v, ReLU(W x_nv + b)])
    deep.1.weight/.bias ...    h_l -> h_{l+1}, ReLU          (Eq 4)
    cross.<l>.weight/.bias     [d_nv] each                   (Eq 5: z_{l+1} = z_0 (z_l . w_l) + b_l + z_l)
                               with z_0 = x_nv as printed; of width d_v + d_nv where z_0 = [x_v, x_nv]
    out.weight/.bias           [1, deep + cross]             (Eq 6, reading C23: linear logit of [h_L, z_L])
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.errors import DamagedArtifact
from contracts.paths import pointer
from contracts.settings import Settings

FORMAT = 2
INFO = "bundle.json"
WEIGHTS, ROWS = "weights.safetensors", "rows.safetensors"
TABLE = "visual.table"


class BundleInfo(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    day: str  # the run that published it
    recipe: str
    feature_set: str
    features: list[str]  # order of x_nv
    definitions: dict[str, dict[str, object]] = {}  # feature -> its declaration (contracts.feature.to_json)
    row_maps: dict[str, dict[str, object]]  # contracts.rows.describe
    visual_dimension: int  # d_v; 0 for a model without pictures
    deep_layers: int
    cross_layers: int
    time_zone: str  # of the context features
    model: str  # address of the model's manifest
    table: str  # address of the lookup table's manifest
    manifest: dict[str, object] = {}  # the model's, whole: what it was made from
    files: dict[str, str] = {}  # file -> SHA-256


class Pointer(BaseModel):
    """What `serving/current.json` holds: the publication that is served now, whole, so that the log's row can be
    written from it whenever the publisher died before it did so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str  # digest = folder name under bundles/
    day: str
    publication: int  # row of the publication log
    action: str = ""
    model: str = ""
    table: str = ""
    decision: str = ""
    reason: str = ""
    version: str = ""
    at: str = ""
    by: str = ""
    frozen: str = ""


def read_pointer(settings: Settings) -> Pointer | None:
    """What is served now; None before the first publication. Raises DamagedArtifact."""
    try:
        return pointer_of(pointer(settings).read_bytes(), settings)
    except FileNotFoundError:
        return None


def pointer_of(content: bytes, settings: Settings) -> Pointer:
    try:
        return Pointer.model_validate_json(content)
    except ValidationError as error:
        raise DamagedArtifact(
            f"{pointer(settings)} is no pointer ({error.error_count()} errors); `adlens reconcile` writes it again "
            "from the publication log"
        ) from None
