"""What the control plane answers from tables: `answer` turns one request into one reply."""

from proxy.control.answers.answer import answer
from proxy.control.answers.command import prepare
from proxy.control.answers.context import AnswerContext

__all__ = ["AnswerContext", "answer", "prepare"]
