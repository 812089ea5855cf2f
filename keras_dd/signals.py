"""Ctrl-C and SIGTERM: at once, or, while training, as soon as a snapshot is taken."""

import signal
import threading


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run as Ctrl-C does, with an exit code of its own."""

    code = 128 + signal.SIGTERM


# What is raised for a signal, and who else may be responsible for it: only a default handler is replaced.
ENDINGS = {
    signal.SIGINT: (KeyboardInterrupt, signal.default_int_handler),
    signal.SIGTERM: (Terminated, signal.SIG_DFL),
}


class Stop:
    """A context in which Ctrl-C and SIGTERM raise KeyboardInterrupt and Terminated.

    While `waits`, the first signal is only noted, for `check` to raise where nothing is half done; the second one is
    raised at once.  Outside of the main thread, signals are left as they are.
    """

    def __init__(self):
        self.waits, self.noted, self._before = False, None, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number, (_, default) in ENDINGS.items():
                if signal.getsignal(number) == default:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number, frame):
        if self.waits and self.noted is None:
            self.noted = number
        else:
            raise ENDINGS[number][0]

    def check(self):
        """Raise what was noted."""
        if self.noted is not None:
            raise ENDINGS[self.noted][0]
