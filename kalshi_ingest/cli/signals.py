"""SIGINT and SIGTERM, for every command alike: the first asks to stop, a later one stops at once.

The handlers are set before anything else is done and stay until the end, so that no phase of any command is without
them; as process 1 of a container a program without a handler is passed over by SIGTERM. Where an event loop listens,
the first signal sets an event and lets what is under way end in order; elsewhere it is a KeyboardInterrupt. Whatever
hangs nevertheless (a dead network, a server that is frozen, a thread in a system call) is given up in time: a stop
takes at most ten seconds, and what is committed stays.
"""

import _thread
import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import structlog

from kalshi_ingest.exit_codes import INTERRUPTED

DOUBLED_SECONDS = 0.5
"""A second signal sooner than this is the first one again: `timeout` and others signal a process and its group."""
LONGEST_SECONDS = 9.0
"""What a stop may take before everything is given up."""
AT_ONCE_SECONDS = 1.5
"""The same after a second signal."""

_BOTH = (signal.SIGINT, signal.SIGTERM)
_GIVEN_UP = b"kalshi-ingest: gave up what did not end in time; what is committed stays\n"

log = structlog.get_logger()


class Signals:
    """What the signals mean to this process at present. Made once, by `handled`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._at_once = False
        self._over = False
        self._deferring = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[], None]] = []
        self._code = INTERRUPTED
        self._limit = 0.0

    @property
    def asked(self) -> bool:
        """Whether a stop was requested."""
        return self._asked_at is not None

    def heard(self, _: int, __: FrameType | None) -> None:
        """The handler of both signals. It runs in the main thread, between any two steps of whatever runs there."""
        now = self._clock()
        if self._over:
            return
        if self._asked_at is None:
            self._asked_at = now
            self._give_up_in(LONGEST_SECONDS)
            self._tell(at_once=False)
        elif now - self._asked_at >= DOUBLED_SECONDS and not self._at_once:
            self._at_once = True
            self._give_up_in(AT_ONCE_SECONDS)
            self._tell(at_once=True)

    def listen(self, notice: str, code: int) -> asyncio.Event:
        """An event of the running loop, set by the first signal; see `stop_on_signals`."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()

        def ask_to_stop() -> None:
            if not stop.is_set():
                stop.set()
                if notice:
                    log.info("stopping", notice=notice)

        self._code = code
        if loop is not self._loop:
            self._loop, self._listeners = loop, []
        self._listeners.append(ask_to_stop)
        # A handler of Python's own does not wake a loop that waits. One of the loop's does, for every signal; this
        # signal means nothing to anybody, and is left as it was when the loop ends.
        loop.add_signal_handler(signal.SIGURG, _nothing)
        if self.asked:
            ask_to_stop()
        return stop

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While modules are loaded: broken off in the middle of one, Python may end in any way. Raised afterwards."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self.asked:
            raise KeyboardInterrupt

    def _tell(self, *, at_once: bool) -> None:
        if self._deferring:
            return
        if self._loop is None or not self._loop.is_running():
            raise KeyboardInterrupt
        for each in [_interrupt] if at_once else self._listeners:
            self._loop.call_soon_threadsafe(each)

    def _give_up_in(self, seconds: float) -> None:
        self._limit = self._clock() + seconds
        # Not `threading.Thread`, whose start takes a lock that the interrupted code may hold.
        _thread.start_new_thread(self._give_up, (self._limit,))

    def _give_up(self, limit: float) -> None:
        while limit == self._limit and (left := limit - self._clock()) > 0:
            time.sleep(left)
        if limit == self._limit:
            with suppress(OSError):  # a full disk under it
                os.write(2, _GIVEN_UP)
            os._exit(self._code)

    def ended(self) -> None:
        """The command has ended: nothing is left to stop or to give up."""
        self._over, self._limit = True, 0.0


@contextmanager
def handled() -> Iterator[Signals]:
    """Handle both signals for a `with` block, the length of a command."""
    signals = Signals()
    before = {each: signal.signal(each, signals.heard) for each in _BOTH}
    try:
        yield signals
    finally:
        signals.ended()
        if not signals.asked:  # else a late second signal would take the place of the exit code
            for each, handler in before.items():
                signal.signal(each, handler)


def stop_on_signals(notice: str = "", *, code: int = INTERRUPTED) -> asyncio.Event:
    """Set on the first SIGINT or SIGTERM, with `notice` in the log; a second one stops the program at once.

    The second one is raised by the event loop, between two callbacks. Raised anywhere, also inside `Task.cancel`, it
    could lose the wake-up of a task that is then waited for without an end. `code`: the exit code in case that a stop
    has to give up what hangs.
    """
    return current().listen(notice, code)


def current() -> Signals:
    """What handles the signals of this process."""
    signals = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not isinstance(signals, Signals):
        raise TypeError("no command is running: its signals are not handled")
    return signals


def _interrupt() -> None:
    # What the interrupted tasks had to say is of no interest to anybody who wants the end.
    asyncio.get_running_loop().set_exception_handler(lambda _, __: None)
    raise KeyboardInterrupt


def _nothing() -> None:
    return
