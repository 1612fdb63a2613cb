"""An application of Celery, with nothing set but where its broker and its results are."""

from __future__ import annotations

import os
import time

from celery import Celery
from celery.app.task import Task

app = Celery("application", broker=os.environ["URL"], backend=os.environ["URL"])


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(bind=True, max_retries=5)
def flaky(self: Task) -> int:
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return int(self.request.retries)


@app.task
def broken() -> None:
    raise ValueError("as it was meant to")


@app.task
def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "woken"
