"""Puts a Python process on a host whose clock is wrong or whose disk is slow.

``CHAOS_CLOCK_SECONDS``: added to every reading of the wall clock. ``CHAOS_FSYNC_SECONDS``: how long
fsync, fdatasync and renames take. The kernel's own times (of files, say) stay right.
"""

import os
import time


def _shift_clock(seconds: float) -> None:
    import datetime

    real, real_ns, real_get = time.time, time.time_ns, time.clock_gettime
    gmtime, localtime = time.gmtime, time.localtime
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)
    time.clock_gettime = lambda clock: (
        real_get(clock) + (seconds if clock == time.CLOCK_REALTIME else 0.0)
    )
    time.gmtime = lambda when=None: gmtime(time.time() if when is None else when)
    time.localtime = lambda when=None: localtime(time.time() if when is None else when)
    shift = datetime.timedelta(seconds=seconds)
    plain = datetime.datetime

    class Meta(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, plain)

    class Shifted(plain, metaclass=Meta):
        @classmethod
        def now(cls, tz=None):
            return plain.now(tz) + shift

        @classmethod
        def utcnow(cls):
            return plain.utcnow() + shift

        @classmethod
        def today(cls):
            return plain.today() + shift

    datetime.datetime = Shifted


def _slow_down(seconds: float) -> None:
    def slow(function):
        def slowly(*arguments, **options):
            time.sleep(seconds)
            return function(*arguments, **options)

        return slowly

    for name in ("fsync", "fdatasync"):
        setattr(os, name, slow(getattr(os, name)))


if "CHAOS_CLOCK_SECONDS" in os.environ:
    _shift_clock(float(os.environ["CHAOS_CLOCK_SECONDS"]))
if "CHAOS_FSYNC_SECONDS" in os.environ:
    _slow_down(float(os.environ["CHAOS_FSYNC_SECONDS"]))
