"""Sub-networks in processes of this machine, each with as many threads as there are cores for it.

Narrow networks have operations so small that two cores are hardly faster at one of them than one is.  A process with a
thread of its own does not wait for another: `keras-dd bench` measures what that brings.  What a worker says comes back
on its standard output, and its snapshots lie in the folder of the run.
"""

import os
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
PATIENCE = 10  # seconds for a worker to leave a snapshot when it is told to end


class Cluster:
    """`remote.Cluster` of `count` processes at a time, or of as many as there are cores for."""

    def __init__(self, count):
        self.count = min(count, devices.cores())
        self.threads = devices.cores() // self.count

    def slots(self):
        return self.count

    def data_of(self, job):
        return tasks.own_data(job, also_named=True)

    def begin(self, run_dir, data):
        self.folder, self.data = run_dir / snapshot.FOLDER, data
        self.heard, self.first, self.places = Queue(), [], threading.Semaphore(self.count)

    def submit(self, task, whole, last):
        given = task, self.data, self.threads, str(self.folder)
        return Worker(given, self.places, lambda *what: self.heard.put((task["name"], *what)))

    def ended(self, handles):
        with suppress(Empty):  # a message ends the moment
            self.first.append(self.heard.get(timeout=MOMENT))
        return [handle for handle in handles if handle.over.is_set()]

    def messages(self):
        first, self.first = self.first, []
        return first + [self.heard.get() for _ in range(self.heard.qsize())]

    def result(self, handle):
        if handle.answer is None:
            raise Lost(handle.last_words)
        kind, content = handle.answer
        if kind == "failed":
            raise content
        return content

    def cancel(self, handle):
        handle.end()


class Worker:
    """A process that does a task as soon as there is a place for it, and the thread that listens to it."""

    def __init__(self, given, places, hear):
        self.given, self.places, self.hear = given, places, hear
        self.process = self.answer = self.last_words = None
        self.is_wanted, self.over = True, threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def end(self):
        """End it, with a snapshot if it is training."""
        self.is_wanted = False
        if self.process:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
            self.process.kill()
            self.over.wait(PATIENCE)

    def _listen(self):
        try:
            with self.places, tempfile.TemporaryFile() as log:  # for what libraries print, TensorFlow's greeting too
                if self.is_wanted:
                    self._work(log)
        except Exception as error:  # whatever comes in place of an answer
            self.last_words = self.last_words or repr(error)
        finally:
            self.over.set()

    def _work(self, log):
        # What this process can import, and nothing else, is what the other one can: its own folder comes first there.
        paths = [path or os.getcwd() for path in sys.path]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "keras_dd.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for this process, which ends them all
        )
        try:
            with suppress(EOFError, OSError), self.process:  # it may end without an answer
                pickle.dump(self.given, self.process.stdin, protocol=5)
                self.process.stdin.flush()  # and stays open: the process ends with this one
                while self.answer is None:
                    kind, content = pickle.load(self.process.stdout)
                    if kind in ("done", "failed"):
                        self.answer = kind, content
                    else:
                        self.hear(kind, content)
        finally:
            log.seek(0)
            last = log.read().decode(errors="replace").strip().rpartition("\n")[2][:200]
            self.last_words = f"process {self.process.pid} has ended, code {self.process.returncode}"
            self.last_words += f": {last}" if last else ""
