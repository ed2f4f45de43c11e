"""Executors that run jobs in this process."""

import pickle
from concurrent.futures import Executor, Future
from typing import Any


class AtOnce(Executor):
    """Runs each job when it is submitted, with a copy of its arguments as another process has it."""

    def submit(self, run: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        arguments = pickle.loads(pickle.dumps(arguments))
        future: Future[Any] = Future()
        try:
            future.set_result(run(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future
