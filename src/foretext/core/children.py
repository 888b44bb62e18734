"""Child processes that answer one message at a time and never outlive their parent.

Messages are pickles over a child's standard input and output, so a script needs no `if __name__ ==
"__main__"`. A child deals with no signals: a terminal, Slurm or systemd sends them to every process
of a job, but only the parent knows what has to be saved first. When the parent ends, by SIGKILL
too, Linux kills the child, even while it imports its libraries; elsewhere it reads the end of its
input.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any, Generic, Self, TypeVar

from foretext.core.errors import ForetextError

_PARENTS_ALONE = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_PR_SET_PDEATHSIG = 1  # prctl.h

Message = TypeVar("Message")
Answer = TypeVar("Answer")


class ChildDiedError(Exception):
    """A child ended before it answered."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a child process ended with code {code}")
        self.code = code  # negative: the signal that ended it


class Child(Generic[Message, Answer]):
    """A process with one job at a time.

    Args:
        start: called once in the child, makes the function that answers messages. It, the messages
            and the answers are pickled.
    """

    def __init__(self, start: Callable[[], Callable[[Message], Answer]]) -> None:
        paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
        with _blocked_signals():
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | paths | {"TOKENIZERS_PARALLELISM": "false"},
                start_new_session=True,  # away from the terminal
            )
        self._send(start)

    def send(self, message: Message) -> None:
        """Hand over a message; several may wait.

        Raises:
            ChildDiedError: there is nobody to take it.
        """
        self._send(message)

    def receive(self) -> Answer:
        """The answer to the oldest message that has none yet.

        Raises:
            ForetextError: as the child raised it.
            ChildDiedError: it ended.
        """
        try:
            result: Answer | ForetextError = pickle.load(_pipe(self.process.stdout))
        except (EOFError, pickle.UnpicklingError) as error:
            raise ChildDiedError(self.process.wait()) from error
        if isinstance(result, ForetextError):
            raise result
        return result

    def stop(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        _pipe(self.process.stdout).close()
        with contextlib.suppress(BrokenPipeError):  # what it did not read is flushed in vain
            _pipe(self.process.stdin).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _send(self, message: object) -> None:
        try:
            _write(_pipe(self.process.stdin), message)
        except BrokenPipeError as error:
            raise ChildDiedError(self.process.wait()) from error


def serve() -> None:
    """What a child runs."""
    _end_with_parent()
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    try:
        answer = pickle.load(source)()
        while True:
            _write(sink, _answered(answer, pickle.load(source)))
    except (EOFError, pickle.UnpicklingError, BrokenPipeError):
        os._exit(0)  # the parent has finished or is dead


def _answered(answer: Callable[[Any], Any], message: object) -> object:
    try:
        return answer(message)
    except ForetextError as error:
        return error


def _end_with_parent() -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    poll = select.poll()
    poll.register(0, select.POLLHUP)
    if any(event & select.POLLHUP for _, event in poll.poll(0)):
        os._exit(0)  # it ended before we asked to be told


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """A process that is started in the block never gets these signals; this one gets them later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS_ALONE)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write(pipe: IO[bytes], message: object) -> None:
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


_T = TypeVar("_T")


def _pipe(stream: _T | None) -> _T:
    assert stream is not None
    return stream
