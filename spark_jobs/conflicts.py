"""A write that another one overtook is looked at and tried again: two runs may meet at one table."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from delta import exceptions

from contracts.errors import AdLensError

ATTEMPTS, PAUSE = 6, 0.5  # seconds before the second attempt; twice as many before the third ...
T = TypeVar("T")
CONFLICTS = (  # in Python they have no common base
    exceptions.DeltaConcurrentModificationException,
    exceptions.ConcurrentAppendException,
    exceptions.ConcurrentDeleteDeleteException,
    exceptions.ConcurrentDeleteReadException,
    exceptions.ConcurrentTransactionException,
    exceptions.ConcurrentWriteException,
    exceptions.MetadataChangedException,
    exceptions.ProtocolChangedException,
)


def persevere(attempt: Callable[[], T], table: str) -> T:
    """The attempt's value. It must begin by looking at the table, because it is made again after every conflict.

    Raises AdLensError when the last attempt met one as well.
    """
    for n in range(ATTEMPTS):
        try:
            return attempt()
        except CONFLICTS as conflict:
            last = str(conflict).partition("\n")[0]
            time.sleep(PAUSE * 2**n if n + 1 < ATTEMPTS else 0)
    raise AdLensError(f"{ATTEMPTS} writes in a row to table {table} met another run's; run the stage again ({last})")
