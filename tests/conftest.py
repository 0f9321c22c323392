"""What all tests share: how they are dealt to processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

TOGETHER = ("tests/e2e/", "tests/spark/", "tests/spark/snapshots/")  # each shares something expensive: one process


def _folder(nodeid: str) -> str | None:
    return max((folder for folder in TOGETHER if nodeid.startswith(folder)), key=len, default=None)


class ByFolder(LoadScopeScheduling):
    """A file's tests in one process; of the folders above, the whole folder's."""

    def _split_scope(self, nodeid: str) -> str:
        return _folder(nodeid) or nodeid.split("::", 1)[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folders above first, in their order: what takes longest must not begin last."""
    items.sort(key=lambda item: (*TOGETHER, None).index(_folder(item.nodeid)))


@pytest.hookimpl(optionalhook=True)  # unknown where somebody switches pytest-xdist off
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFolder:
    return ByFolder(config, log)
