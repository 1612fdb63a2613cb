"""What an answer may depend on besides the request itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proxy.control.denials import DenialLog
from proxy.control.statistics import ClientRecord, Statistics
from proxy.settings import User

__all__ = ["AnswerContext"]


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """The state of the proxy as one request sees it.

    ``settings`` holds what CONFIG GET shows, under Redis's names (``port``, ``maxclients``, ...); a name that is
    missing there has the default in `proxy.control.answers.config`.
    """

    statistics: Statistics
    client: ClientRecord  #: the caller
    settings: Mapping[str, object] = field(default_factory=dict)
    clients: Sequence[ClientRecord] = ()  #: all of them, by id
    pool: int = 0  #: the caller's, an index of Settings.pools
    users: Sequence[User] = ()  #: those of the caller's pool, by name
    denials: DenialLog = field(default_factory=DenialLog)
    now: float = 0.0  #: Unix time
