"""RQ: a worker with its scheduler, jobs that depend on others, retries, and orders to the worker."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import redis
import rq_tasks
from rq import Queue, Repeat, Retry, Worker
from rq.command import send_stop_job_command
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from steps import step, until

connection = redis.Redis.from_url(os.environ["URL"])
queue = Queue(connection=connection)


def finished(job: Job) -> bool:
    return job.get_status(refresh=True) == "finished"


with subprocess.Popen(
    [str(Path(sys.executable).parent / "rq"), "worker", "--url", os.environ["URL"], "--with-scheduler",
     "--logging_level", "WARNING", "default", "low"],
    cwd=Path(__file__).parent, stdout=sys.stderr, stdin=subprocess.DEVNULL,
) as worker:  # fmt: skip
    with step("job"):
        job = queue.enqueue(rq_tasks.add, 2, 3)
        until(lambda: finished(job), 20)
        assert job.return_value() == 5
    with step("many"):
        jobs = queue.enqueue_many([Queue.prepare_data(rq_tasks.add, (number, 1)) for number in range(5)])
        until(lambda: all(map(finished, jobs)), 20)
        assert [job.return_value() for job in jobs] == [1, 2, 3, 4, 5]
    with step("dependent"):
        first = queue.enqueue(rq_tasks.slow, 0.2)
        second = queue.enqueue(rq_tasks.add, 1, 1, depends_on=first)
        third = Queue("low", connection=connection).enqueue(rq_tasks.add, 2, 2, depends_on=[first, second])
        until(lambda: finished(third), 20)
        second.refresh()
        third.refresh()
        assert third.return_value() == 4 and second.ended_at <= third.started_at
    with step("failure"):
        job = queue.enqueue(rq_tasks.broken, retry=Retry(max=1))
        until(lambda: job.get_status(refresh=True) == "failed", 20)
        assert "as it was meant to" in job.latest_result().exc_string
        assert job.id in FailedJobRegistry(queue=queue).get_job_ids()
    with step("scheduled"):
        job = queue.enqueue_in(timedelta(seconds=1), rq_tasks.add, 3, 3)
        assert job.get_status() == "scheduled"
        until(lambda: finished(job), 20)
        assert job.return_value() == 6
    with step("repeated"):
        job = queue.enqueue(rq_tasks.add, 1, 1, repeat=Repeat(times=1, interval=1))
        until(lambda: len(job.results()) == 2, 20)
    with step("stop"):
        job = queue.enqueue(rq_tasks.slow, 60)
        until(lambda: job.get_status(refresh=True) == "started", 20)
        send_stop_job_command(connection, job.id)
        until(lambda: job.get_status(refresh=True) in ("stopped", "failed"), 20)
    with step("registry"):
        assert len(Worker.all(connection=connection)) == 1
        assert FinishedJobRegistry(queue=queue).count >= 5
        queue.empty()
        assert queue.count == 0
    worker.kill()
