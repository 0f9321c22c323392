"""Start weights of the CNN from a file: safetensors in torchvision's names, its digest checked (C26)."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError

from contracts.artifacts import file_digest
from contracts.errors import DamagedArtifact, SettingsError
from training.cscnn import CSCNN

CLASSIFIERS = ("fc.", "fc8.", "aux1.", "aux2.")  # what a classifier has behind and beside its features


def start_from(cnn: CSCNN, file: Path, wanted: str) -> None:
    """The backbone's weights from `file`; attention modules and head keep their random start.

    Raises SettingsError (no file, no digest, another layout or size) or DamagedArtifact (another digest).
    """
    if not file.is_file():
        raise SettingsError(f"cnn_start: {file} is no file; it holds a CNN's weights as safetensors")
    found = file_digest(file)
    if found != wanted:
        raise DamagedArtifact(f"cnn_start: {file} has the digest {found}; the recipe's cnn_start_digest is '{wanted}'")
    try:
        weights = safetensors.torch.load_file(file)
    except SafetensorError as error:
        raise SettingsError(f"cnn_start: {file} is no safetensors file: {error}") from None
    weights = {name: value for name, value in weights.items() if not name.startswith(CLASSIFIERS)}
    own = cnn.backbone.state_dict()
    absent = [name for name in own if "attention" not in name and name not in weights]
    foreign = [name for name in weights if name not in own]
    other = [name for name in weights if name in own and weights[name].shape != own[name].shape]
    for what, names in (("lacks", absent), ("has, and the backbone has not,", foreign), ("has in another size", other)):
        if names:
            raise SettingsError(
                f"cnn_start: {file} {what} {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}; "
                "the recipe's backbone, width and image_size decide what it must hold"
            )
    cnn.backbone.load_state_dict(weights, strict=False)
