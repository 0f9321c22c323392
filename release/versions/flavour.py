"""The bundle as an MLflow model: `mlflow.pyfunc.load_model("models:/adlens@champion")` scores a data frame.

MLflow's own python models are pickles, or code that it runs. This one is a loader's name and a folder: the loader is
serving.pyfunc, the folder a bundle by the name of its digest. So nothing in it can run, and whatever does not match its
digest is refused.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from serving.checked import digest_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LOADER = "serving.pyfunc"


def log_bundle(client: MlflowClient, run: str, folder: str, bundle: Path) -> None:
    """Adds a bundle and its MLmodel to a run's artifacts under `folder`."""
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as draft:
        named = Path(draft) / "bundle" / digest_of(bundle)
        shutil.copytree(bundle, named)
        described = Model(artifact_path=folder, run_id=run)
        described.add_flavor("python_function", loader_module=LOADER, data=f"bundle/{named.name}")
        described.save(str(Path(draft) / "MLmodel"))
        client.log_artifacts(run, draft, folder)
