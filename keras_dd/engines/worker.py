"""A process that does one task of `workers`: `python -m keras_dd.engines.worker`.

It reads the task from its standard input, which stays open as long as the process that started it is there.
"""

import contextlib
import os
import pickle
import sys
import threading


def main():
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    given = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    lock = threading.Lock()

    def send(kind, content):
        with lock:
            pickle.dump((kind, content), answers, protocol=5)
            answers.flush()

    from keras_dd.engines.tasks import work

    task, data, threads, folder = given
    try:
        send("done", work(task, data, threads, 0, folder, send))
    except Exception as error:  # of any kind: the other process raises it
        error.add_note(f"in the worker of {task['name']}")
        with contextlib.suppress(BrokenPipeError):
            send("failed", error)


def _end_with_stdin():
    sys.stdin.buffer.read(1)
    os._exit(1)


if __name__ == "__main__":
    main()
