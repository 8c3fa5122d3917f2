"""A duty: what a thread of a worker does again and again until the process ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NoReturn

from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)


def repeat(
    duty: Callable[[], float | None], pause: float, what: str, *, at_once: bool = False
) -> NoReturn:
    """Do a duty for ever, ``pause`` seconds apart; seconds that it returns are the next pause.

    ``what`` the log says when it fails; ``at_once``: no pause before the first time.
    """
    wait = 0.0 if at_once else pause
    while True:
        time.sleep(wait)
        wait = pause
        try:
            wanted = duty()
            if wanted is not None:
                wait = wanted
        except SQLAlchemyError as error:
            log.warning("%s: %s", what, error)
        except Exception:  # this thread must outlive every surprise
            log.exception("%s", what)
