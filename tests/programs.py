"""Programs in other interpreters that go through steps and print a verdict for each: clients and applications.

They print `ok STEP` or `failed STEP: why`, and `restart` where they want a node killed and started again, which the
line `restarted` on their input confirms. `tests/clients/scenarios/steps.py` is their side of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

STEPS = Path(__file__).parent / "clients/scenarios"  #: where a program finds `steps`

MOST_OF_ERRORS = 4000  # characters of a program's standard error worth showing


def run(command: Sequence[str], within: float, restart: Callable[[], object] | None = None, **more: str) -> list[str]:
    """Its lines, and behind them what it wrote to standard error. ``more`` are variables of its environment.

    It is killed after ``within`` seconds, and its children are with it.
    """
    lines: list[str] = []
    errors: list[str] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        env=os.environ | {"PYTHONPATH": str(STEPS), "PYTHONDONTWRITEBYTECODE": "1"} | more, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout and process.stderr
        pipe = process.stderr
        reading = threading.Thread(target=lambda: errors.append(pipe.read()))
        reading.start()
        watchdog = threading.Timer(within, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if lines[-1] == "restart" and restart:
                    restart()
                    process.stdin.write("restarted\n")
                    process.stdin.flush()
        finally:
            watchdog.cancel()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            reading.join()
    return [*lines, *(text[-MOST_OF_ERRORS:] for text in errors)]


def judge(lines: Sequence[str], steps: Sequence[str]) -> None:
    """Every step has to have gone well; the failure shows all that the program said."""
    done = {line.split()[1] for line in lines if line.startswith("ok ")}
    assert done == set(steps), "\n".join(lines)
