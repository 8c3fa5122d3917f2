"""Guessing keys, cookies and login links costs the guesser, and nobody who has a good one."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from api.rate_limit import RateLimit
from core.errors import Unauthorized

MAX_GOOD = 10_000
_PREFIX_BITS = 64
"""What one customer of a provider has of IPv6 addresses."""


@dataclass(slots=True)
class _Guess:
    """One secret of one network that is being looked up, by so many requests at once."""

    requests: int = 0
    wrong: bool = False


class FailedAttempts:
    """Allows ``per_minute`` failures a minute and address, that many at once.

    Each secret takes a token before the database is asked, and has it back unless it fails; the
    same secret in requests at the same moment is one guess. A secret that was good before takes
    none: behind a proxy or a hospital's gateway many callers have one address, and one of them with
    a wrong key must not lock the others out.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = RateLimit(
            per_minute,
            clock,
            burst=per_minute,
            detail="Too many failed authentications from this address",
            code="too_many_failures",
        )
        self._good: OrderedDict[str, None] = OrderedDict()
        self._guesses: dict[tuple[str, str], _Guess] = {}
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, address: str, digest: str) -> Iterator[None]:
        """Look up a secret within; TooManyRequests before it when the address has failed too often.

        Unauthorized out of it is a failure; other errors are nobody's fault.
        """
        if self._is_good(digest):
            try:
                yield
            except Unauthorized:
                self._forget(digest)
                raise
            return
        place = (_network(address), digest)
        guess = self._begin(place)
        try:
            yield
        except Unauthorized:
            self._fail(place, guess)
            raise
        else:
            self._remember(digest)
        finally:
            self._end(place, guess)

    def _begin(self, place: tuple[str, str]) -> _Guess:
        """Join the guess with this secret that is under way, or take a token for one."""
        with self._lock:
            guess = self._guesses.get(place)
            if guess is None:
                self._limit.take(place[0])
                guess = self._guesses[place] = _Guess()
            guess.requests += 1
            return guess

    def _fail(self, place: tuple[str, str], guess: _Guess) -> None:
        """Keep the token of a guess; who comes with the same secret from now on takes another."""
        with self._lock:
            guess.wrong = True
            self._drop(place, guess)

    def _end(self, place: tuple[str, str], guess: _Guess) -> None:
        with self._lock:
            guess.requests -= 1
            if guess.requests == 0:
                self._drop(place, guess)
                if not guess.wrong:
                    self._limit.give_back(place[0])

    def _drop(self, place: tuple[str, str], guess: _Guess) -> None:
        if self._guesses.get(place) is guess:
            del self._guesses[place]

    def _is_good(self, digest: str) -> bool:
        with self._lock:
            if digest not in self._good:
                return False
            self._good.move_to_end(digest)
            return True

    def _remember(self, digest: str) -> None:
        with self._lock:
            self._good[digest] = None
            if len(self._good) > MAX_GOOD:
                self._good.popitem(last=False)

    def _forget(self, digest: str) -> None:
        with self._lock:
            self._good.pop(digest, None)


def _network(address: str) -> str:
    """Return whom an address stands for: itself, or the network of an IPv6 one."""
    try:
        known = ip_address(address)
    except ValueError:  # a socket without addresses
        return address
    if isinstance(known, IPv6Address) and known.ipv4_mapped is None:
        return f"{int(known) >> (128 - _PREFIX_BITS):x}"
    return str(getattr(known, "ipv4_mapped", None) or known)
