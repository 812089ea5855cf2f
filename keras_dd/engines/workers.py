"""Sub-networks in processes of this machine, each with cores of its own.

Narrow networks have operations so small that two cores are hardly faster at one of them than one is.  A core to itself
spares a network the waiting: `keras-dd bench` measures what that brings.  What a worker says comes back on its standard
output, and its snapshots lie in the folder of the run.
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
from keras_dd.engines.remote import Lost, dealt

MOMENT = 0.1  # seconds between two looks at what workers have sent


class Cluster:
    """`remote.Cluster` of `count` processes, or of as many as this one has cores to deal among them."""

    def __init__(self, count):
        cores = devices.cores()
        self.shares = dealt(cores, min(count, len(cores)))

    def slots(self):
        return len(self.shares)

    def data_of(self, job):
        return tasks.own_data(job, also_named=True)

    def begin(self, run_dir, data):
        self.folder, self.data, self.heard = run_dir / snapshot.FOLDER, data, Queue()
        self.free = list(self.shares)

    def submit(self, task, whole, last):
        return Worker(task, self.data, self.free.pop(0), self.folder, self.heard)

    def ended(self, handles):
        with suppress(Empty):  # a message ends the moment
            self.heard.put(self.heard.get(timeout=MOMENT))
        return [handle for handle in handles if handle.over.is_set()]

    def messages(self):
        return [self.heard.get() for _ in range(self.heard.qsize())]

    def result(self, handle):
        self.free.append(handle.cores)
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

    def __init__(self, task, data, cores, folder, heard):
        self.cores, self.answer, self.over = cores, None, threading.Event()
        # For what libraries print, TensorFlow's greeting too; it is closed with the answer.
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "keras_dd.engines.worker", *map(str, cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            start_new_session=True,  # Ctrl-C is for this process, which ends them all
        )
        threading.Thread(target=self._listen, args=(task, data, folder, heard), daemon=True).start()

    def _listen(self, task, data, folder, heard):
        with suppress(EOFError, OSError, pickle.UnpicklingError), self.process:  # it may end without an answer
            pickle.dump((task, data, len(self.cores), str(folder)), self.process.stdin, protocol=5)
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
