"""One worker of ours without its supervisor: ``worker.py FOLDER PORT on|off``; ``off`` puts nothing in the recorder's place."""

import dataclasses
import sys
from pathlib import Path

from seakeep.project.worker import context
from seakeep.serving.worker import run_worker


class Nothing:
    """Records nothing; what is left is the cost of recording itself."""

    answers_wait = False
    alive = True

    def __init__(self):
        self._last = 0

    def next_sequence(self, count=1):
        self._last += count
        return self._last - count + 1

    @staticmethod
    def append(_record):
        return True

    @staticmethod
    def commit():
        pass

    @staticmethod
    def close():
        pass


def main():
    folder, port, recording = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    made = context(folder, 0, port)
    if recording == "off":
        made.predictions.close()
        made = dataclasses.replace(made, predictions=Nothing())
    run_worker(made)


if __name__ == "__main__":
    main()
