"""Two local pages behind the login, MLflow and the Data Docs: `python -m adlens.doors mlflow|docs --port N`.

`mlflow server --app-name basic-auth` wants packages that the lock does not hold, so MLflow's own ASGI app stands behind
a check of HTTP's basic login here; MLflow's clients send it from MLFLOW_TRACKING_USERNAME and ..._PASSWORD.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import sys
from typing import TYPE_CHECKING, Any

from adlens import credentials
from contracts import paths
from contracts.settings import Settings, load

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


def guarded(app: ASGIApp, user: str, password: str, open_paths: tuple[str, ...] = ("/health",)) -> ASGIApp:
    """The app, answering 401 without the login; `open_paths` answer to anyone."""
    wanted = b"Basic " + base64.b64encode(f"{user}:{password}".encode())

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope.get("path") in open_paths:
            return await app(scope, receive, send)
        said = dict(scope["headers"]).get(b"authorization", b"")
        if secrets.compare_digest(said, wanted):
            return await app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        headers = [(b"www-authenticate", b'Basic realm="AdLens"'), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"login needed\n"})

    return door


def mlflow_app(settings: Settings) -> ASGIApp:
    """MLflow's server app on the home's tracking store."""
    store = settings.home_path / "mlflow"
    store.mkdir(parents=True, exist_ok=True)
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = settings.mlflow_tracking_uri
    os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = settings.mlflow_tracking_uri
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(store / "artifacts")
    from mlflow.server.fastapi_app import app

    return app


def docs_app(settings: Settings) -> ASGIApp:
    """The Data Docs; the top leads to their index."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    folder = paths.data_docs(settings)
    folder.mkdir(parents=True, exist_ok=True)

    async def top(_request: Any) -> Response:
        pages = sorted(folder.rglob("index.html"), key=lambda page: len(page.parts))
        if not pages:
            return PlainTextResponse("no audit yet: run a day, `adlens day`\n")
        return RedirectResponse(f"/files/{pages[0].relative_to(folder)}")

    async def health(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("OK")

    routes = [Route("/", top), Route("/health", health), Mount("/files", StaticFiles(directory=folder, html=True))]
    return Starlette(routes=routes)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="adlens.doors", description=__doc__)
    parser.add_argument("which", choices=("mlflow", "docs"))
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args(argv)
    settings = load()
    login, _ = credentials.load(settings)
    import uvicorn

    app = (mlflow_app if asked.which == "mlflow" else docs_app)(settings)
    uvicorn.run(guarded(app, login["user"], login["password"]), host="127.0.0.1", port=asked.port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
