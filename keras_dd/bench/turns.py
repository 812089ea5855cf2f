"""Works in several processes that take turns, so that what else the machine does falls on all of them alike."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress

from keras_dd.bench.task import answer

# Seconds of a turn, and before each, for the threads of the one before to fall asleep.
TURN, PAUSE = 2.0, 0.1
# Steps of the turn that says how many are `TURN` seconds, and how many there are at least in one.
TRIAL, LEAST = 3, 2

# What the environment of a process has otherwise than this one's: variables to leave out, and to add.
PROCESSES = {
    "stock": {"without": ("TF_ENABLE_ONEDNN_OPTS",)},  # TensorFlow's own default
    "torch": {},
    "ray": {},
    "workers": {},
    "alone": {},
    "default": {},
    "one-thread": {"TF_NUM_INTRAOP_THREADS": "1"},
    # Tensors come from TensorFlow's allocator for GPUs, which keeps what it has, and not from malloc.
    "bfc": {"TF_CPU_ALLOCATOR_USE_BFC": "1"},
    # The thread that starts a kernel of oneDNN works on it too, and does not wait for those of the pool.
    "caller-thread": {"TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD": "1"},
    # Memory up to 1 GiB comes from the heap, which is not given back up to 2 GiB and grows by 256 MiB.
    "malloc": {
        "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=2147483648:"
        "glibc.malloc.top_pad=268435456"
    },
}


@contextmanager
def worker(without=(), **variables):
    """`ask(**request)`, the answer of a process of `worker.py`, which ends with the context.

    It raises ChildProcessError where the process has ended before, for lack of memory or by an error of its own.
    """
    command = [sys.executable, "-m", "keras_dd.bench.worker", *without]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, **pipes, stderr=log, env={**os.environ, **variables}) as process,
    ):

        def ask(**request):
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(request).encode() + b"\n")
            if line := process.stdout.readline():
                return json.loads(line)
            code = process.wait()
            log.seek(0)
            last = log.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise ChildProcessError(f"the process of {request['work']} has ended, code {code}: {last or 'no word'}")

        try:
            yield ask
        finally:
            process.kill()  # it has nothing to put away


@contextmanager
def processes(task):
    """`ask(process, work, steps=None)`, the `task.answer` of "here", which is this process, or of one in `PROCESSES`.

    A process begins when it is first asked, and ends with the context.
    """
    workers, made = {}, {}
    with ExitStack() as stack:

        def ask(process, work, steps=None):
            if process == "here":
                return answer(made, task, work, steps)
            if process not in workers:
                workers[process] = stack.enter_context(worker(**PROCESSES[process]))
            return workers[process](task=dataclasses.asdict(task), work=work, steps=steps)

        yield ask


def in_turn(ways, ask, rounds, steps=None, say=print):
    """All ways in turn, A B C, C B A, ...

    Args:
        ways: {way: (process, work)}.
        ask: that of `processes`.
        rounds: turns of each way.
        steps: of a turn; by default as many as take about `TURN` seconds.
        say: takes a line of text, on what is being done.

    Returns:
        {way: its facts, "steps" and, a round each, "images_per_second"}, and {way: reason} of those that cannot work.
    """
    found, left_out, expected = {}, {}, 0
    for way, (process, work) in ways.items():
        say(f"making ready: {way}")
        facts = ask(process, work)
        if "left_out" in facts:
            left_out[way] = facts["left_out"]
            continue
        ask(process, work, 1)  # traces
        trial = ask(process, work, TRIAL)["seconds"] / TRIAL
        found[way] = facts | {"steps": steps or max(LEAST, round(TURN / trial)), "images_per_second": []}
        expected += rounds * (found[way]["steps"] * trial + PAUSE)
    say(f"{rounds} turns of each, about {expected:.0f} s in all")
    for number in range(rounds):
        for way in reversed(found) if number % 2 else found:
            time.sleep(PAUSE)
            seconds = ask(*ways[way], found[way]["steps"])["seconds"]
            found[way]["images_per_second"].append(found[way]["images"] * found[way]["steps"] / seconds)
    return found, left_out
