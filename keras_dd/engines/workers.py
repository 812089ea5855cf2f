"""Sub-networks in processes of this machine, each with as many threads as there are cores for it.

Narrow networks have operations so small that two cores are hardly faster at one of them than one is.  A process with a
thread of its own does not wait for another: `keras-dd bench` measures what that brings.  What a worker says comes back
on its standard output, and its snapshots lie in the folder of the run.
"""

import pickle
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from queue import Empty, Queue

from keras_dd import devices, snapshot
from keras_dd.engines import tasks
from keras_dd.engines.remote import Lost

MOMENT = 0.1  # seconds between two looks at what workers have sent


class Cluster:
    """`remote.Cluster` of `count` processes, or of as many as there are cores for."""

    def __init__(self, count):
        self.count = min(count, devices.cores())
        self.threads = devices.cores() // self.count

    def slots(self):
        return self.count

    def data_of(self, job):
        return tasks.own_data(job, also_named=True)

    def begin(self, run_dir, data):
        self.folder, self.data, self.heard = run_dir / snapshot.FOLDER, data, Queue()

    def submit(self, task, whole, last):
        return Worker(task, self.data, self.threads, self.folder, self.heard)

    def ended(self, handles):
        with suppress(Empty):  # a message ends the moment
            self.heard.put(self.heard.get(timeout=MOMENT))
        return [handle for handle in handles if handle.over.is_set()]

    def messages(self):
        return [self.heard.get() for _ in range(self.heard.qsize())]

    def result(self, handle):
        with handle.log:
            if handle.answer is None:
                raise Lost(handle.last_words())
        kind, content = handle.answer
        if kind == "failed":
            raise content
        return content

    def cancel(self, handle):
        handle.process.kill()
        handle.process.wait()
        handle.log.close()


class Worker:
    """A process that does a task, and a thread that listens to it."""

    def __init__(self, task, data, threads, folder, heard):
        self.answer, self.over = None, threading.Event()
        # For what libraries print, TensorFlow's greeting too; it is closed with the answer.
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "keras_dd.engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            start_new_session=True,  # Ctrl-C is for this process, which ends them all
        )
        threading.Thread(target=self._listen, args=(task, data, threads, folder, heard), daemon=True).start()

    def _listen(self, task, data, threads, folder, heard):
        with suppress(EOFError, OSError, pickle.UnpicklingError), self.process:  # it may end without an answer
            pickle.dump((task, data, threads, str(folder)), self.process.stdin, protocol=5)
            self.process.stdin.flush()  # and stays open: the process ends with this one
            while self.answer is None:
                kind, content = pickle.load(self.process.stdout)
                if kind in ("done", "failed"):
                    self.answer = kind, content
                else:
                    heard.put((task["name"], kind, content))
        self.over.set()

    def last_words(self):
        """Why it has ended without an answer, as far as that is known."""
        self.log.seek(0)
        last = self.log.read().decode(errors="replace").strip().rpartition("\n")[2][:200]
        return f"process {self.process.pid} has ended, code {self.process.wait()}" + (f": {last}" if last else "")
