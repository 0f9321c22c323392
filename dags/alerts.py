"""What happens when a task has failed for good or a run is late: one JSON message, to a webhook or to the log.

The setting `alert_webhook` names the environment variable that holds the webhook's URL; the URL itself is a secret and
is never logged. A message that cannot be delivered is logged instead: an alert never fails a run.
"""

from __future__ import annotations

import json
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from contracts import settings as adlens_settings

log = logging.getLogger(__name__)
PATIENCE = 10.0  # seconds
_OURS = re.compile(r"\berror: (.+)")


def cause(failure: object) -> str:
    """The last line that a stage printed as `error: ...`, else the failure's own first line."""
    text = str(failure)
    said = _OURS.findall(text)
    return (said[-1] if said else text.strip().partition("\n")[0])[:500]


def task_failed(context: Mapping[str, Any]) -> None:
    """Airflow's `on_failure_callback`: the task has failed and will not be tried again."""
    task, run = context["ti"], context["dag_run"]
    error = cause(context.get("exception") or "Airflow does not say why")
    send(
        {
            "event": "task_failed", "dag": task.dag_id, "run": run.run_id, "task": task.task_id,
            "try": task.try_number, "error": error, "log": getattr(task, "log_url", None),
            "text": f"AdLens: {task.task_id} of {task.dag_id} failed ({run.run_id}): {error}",
        }
    )  # fmt: skip


def quality_left_band(context: Mapping[str, Any]) -> None:
    """Airflow's `on_success_callback` of `served_quality`, whose last line says `alarm: ...` where there is one."""
    task, run = context["ti"], context["dag_run"]
    said = str(task.xcom_pull(task_ids=task.task_id) or "")
    if said.startswith("alarm: "):
        what = said.removeprefix("alarm: ")
        send(
            {
                "event": "served_quality", "dag": task.dag_id, "run": run.run_id, "quality": what,
                "text": f"AdLens: what was served left its band: {what}",
            }
        )  # fmt: skip


def deadline_missed(context: Mapping[str, Any]) -> None:
    """A run is later than `deadline_minutes` after it was queued. A backfill's runs wait for each other by design."""
    run = context["dag_run"]
    if run["run_type"] == "backfill":
        return
    due = str(context["deadline"]["deadline_time"])
    send(
        {
            "event": "deadline_missed", "dag": run["dag_id"], "run": run["dag_run_id"], "due": due,
            "text": f"AdLens: {run['dag_id']} is late ({run['dag_run_id']}): it was due at {due}",
        }
    )  # fmt: skip


def send(message: Mapping[str, Any]) -> bool:
    """Posts the message as JSON. Returns whether the webhook took it."""
    name = adlens_settings.load().alert_webhook
    text = json.dumps(message, default=str)
    if name is None:
        log.error("alert: %s", text)
        return False
    url = os.environ.get(name, "")
    if not url.startswith(("http://", "https://")):
        log.error("alert, not delivered (the variable %s holds no http address): %s", name, text)
        return False
    try:
        request = urllib.request.Request(url, text.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return True
    except Exception as error:  # its words may hold the URL
        why = error.code if isinstance(error, urllib.error.HTTPError) else type(error).__name__
        log.error("alert, not delivered (%s): %s", why, text)
        return False
