"""A process that does one task of `engines.workers`: `python -m keras_dd.worker`.

It reads the task from its standard input, which stays open as long as the process that started it is there.
"""

import os
import pickle
import sys
import threading
import traceback


def main():
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer, from their import on
    task, data, threads, folder = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_stdin, daemon=True).start()

    def send(kind, content):
        answers.write(pickle.dumps((kind, content), protocol=5))
        answers.flush()

    from keras_dd.engines.tasks import work
    from keras_dd.signals import Stop

    try:
        with Stop() as stop:
            send("done", work(task, data, threads, 0, folder, send, stop=stop))
    except KeyboardInterrupt:  # it was told to end, and has left a snapshot
        os._exit(1)
    except Exception as error:
        told = f"in the worker of {task['name']}:\n{traceback.format_exc()}"
        try:
            error.add_note(told)
            pickle.loads(pickle.dumps(error))
        except Exception:  # of a class that does not travel
            error = RuntimeError(told)
        send("failed", error)
    os._exit(0)  # the thread that waits for the end of stdin is not to be waited for


def _end_with_stdin():
    sys.stdin.buffer.read(1)
    os._exit(1)


if __name__ == "__main__":
    main()
