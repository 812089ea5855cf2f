"""A process that works when it is told to, and waits while others do: `python -m keras_dd.bench.worker [VARIABLE ...]`.

A request is a line of JSON, and so is its answer.  The variables are taken from the environment, where this package has
put some for TensorFlow, before that is imported.
"""

import json
import os
import sys

from keras_dd.bench.task import Task, answer


def main():
    for variable in sys.argv[1:]:
        os.environ.pop(variable, None)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    made = {}
    for line in sys.stdin:
        request = json.loads(line)
        request["task"] = Task(**request["task"])
        print(json.dumps(answer(made, **request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
