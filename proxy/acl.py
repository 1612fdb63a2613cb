"""ACL rules: from Redis's syntax to a frozen `User`, and back to the words of ACL LIST.

Pure: text in, records out, every mistake an `AclError` that says which word is wrong and why. Names of commands and
categories are those of the command table. The engine compiles the records (`proxy/engine/users.pyx`), the control
plane shows them and judges with them (`proxy/control/answers/rights.py`).

The reading of every word is redis-server's: a rule for a container holds for its subcommands, later words win over
earlier ones, and whatever is not opened is closed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from proxy.commands import COMMANDS, Command
from proxy.settings import KeyPattern, Pool, Secret, Selector, User
from proxy.spelling import nearest

__all__ = [
    "CATEGORIES", "DEFAULT", "EVERY_COMMAND", "AclError", "SelectorText", "apply_rules", "default_user",
    "describe_selector", "describe_user", "hash_password", "new_user", "parse_line", "split_rules", "users_of",
]  # fmt: skip

#: Every row of the command table by its full name, `client|id` for a subcommand.
EVERY_COMMAND: dict[str, Command] = {
    row.name: row for command in COMMANDS.values() for row in (command, *command.subcommands.values())
}

#: category → the rows it has by itself. What `all` means is said by the selector's own flag.
CATEGORIES: dict[str, tuple[Command, ...]] = {
    category: tuple(row for row in EVERY_COMMAND.values() if category in row.acl_categories)
    for category in sorted({category for row in EVERY_COMMAND.values() for category in row.acl_categories})
}

DEFAULT = "default"  #: the user that a client is before it says who it is

_HASH = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[^ \t\n\v\f\r\0]+")


class AclError(ValueError):
    """A rule that is none; `word` is the rule, `message` says what is wrong with it."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(f"'{word}': {message}")
        self.word = word


def hash_password(password: str) -> Secret:
    """What is kept of a password."""
    return Secret(hashlib.sha256(password.encode()).hexdigest())


def new_user(name: str) -> User:
    """A user as Redis makes one: off, without a password, and without any right. Raises AclError for the name."""
    if not _WORD.fullmatch(name):
        raise AclError(name, "the name of a user has no blanks and is not empty")
    return User(name=name)


def default_user(password: Secret | None) -> User:
    """The default user where no rules are given for it: it may do everything, once it has said the password if any."""
    user = apply_rules(new_user(DEFAULT), ("on", "nopass", "allkeys", "allchannels", "allcommands"))
    return user if password is None else apply_rules(user, (f">{password.reveal()}",))


def users_of(pool: Pool) -> tuple[User, ...]:
    """All users of a pool by name, the default user among them: it is `password`'s unless rules are given for it."""
    users = pool.users
    if all(user.name != DEFAULT for user in users):
        users = (*users, default_user(pool.password))
    return tuple(sorted(users, key=lambda user: user.name))


def parse_line(line: str) -> User | None:
    """One line of an ACL file, `user NAME rule …`; None for a blank one. Raises AclError."""
    words = _WORD.findall(line)
    if not words:
        return None
    if words[0] != "user" or len(words) < 2:
        raise AclError(words[0], "a line of an ACL file is: user NAME rule rule …")
    return apply_rules(new_user(words[1]), words[2:])


def split_rules(text: str) -> list[str]:
    """The words of a text of rules."""
    return _WORD.findall(text)


def apply_rules(user: User, words: Iterable[str]) -> User:
    """The user that `user` becomes by these rules, the later of them prevailing. Raises AclError."""
    for word in _join_parentheses(words):
        user = _apply(user, word)
    return user


def _join_parentheses(words: Iterable[str]) -> Iterator[str]:
    """Give a selector, `(+get ~a:*)`, as one word."""
    opened: list[str] = []
    for word in words:
        if opened or word.startswith("("):
            opened.append(word)
            if word.endswith(")"):
                yield " ".join(opened)
                opened = []
        else:
            yield word
    if opened:
        raise AclError(opened[0], "its parenthesis is not closed")


def _apply(user: User, word: str) -> User:
    """One rule. What is not about the user as a whole goes to its own selector, the first one."""
    match word.lower():
        case "on" | "off":
            return replace(user, enabled=word.lower() == "on")
        case "nopass":
            return replace(user, no_password=True, hashes=())
        case "resetpass":
            return replace(user, no_password=False, hashes=())
        case "sanitize-payload" | "skip-sanitize-payload":
            return user  # what RESTORE checks is the node's to say
        case "clearselectors":
            return replace(user, selectors=user.selectors[:1])
        case "reset":
            return replace(new_user(user.name), scripts=user.scripts)
    if word[:1] in (">", "#", "<", "!"):
        return _apply_password(user, word)
    if word.startswith("(") and word.endswith(")"):
        draft = _Draft(Selector())
        for inner in split_rules(word[1:-1]):
            draft.apply(inner)
        return replace(user, selectors=(*user.selectors, draft.selector()))
    draft = _Draft(user.selectors[0])
    draft.apply(word)
    return replace(user, selectors=(draft.selector(), *user.selectors[1:]))


def _apply_password(user: User, word: str) -> User:
    if word[0] in "#!" and not _HASH.fullmatch(word[1:]):
        raise AclError(word[0] + "…", "a password hash is 64 lower-case hexadecimal digits, its SHA-256")
    wanted = Secret(word[1:]) if word[0] in "#!" else hash_password(word[1:])
    others = tuple(known for known in user.hashes if known != wanted)
    if word[0] in "<!":
        if len(others) == len(user.hashes):
            raise AclError(word[0] + "…", "the password to remove is none of the user's")
        return replace(user, hashes=others)
    return replace(user, no_password=False, hashes=user.hashes if wanted in user.hashes else (*user.hashes, wanted))


class _Draft:
    """A selector being changed."""

    def __init__(self, base: Selector) -> None:
        self.rules = list(base.rules)
        self.begins_open = base.begins_open
        self.commands = set(base.commands)
        self.first_arguments = set(base.first_arguments)
        self.all_commands, self.all_keys, self.all_channels = base.all_commands, base.all_keys, base.all_channels
        self.keys = list(base.keys)
        self.channels = list(base.channels)

    def selector(self) -> Selector:
        """The finished record."""
        return Selector(
            begins_open=self.begins_open, rules=tuple(self.rules), commands=frozenset(self.commands),
            first_arguments=frozenset(self.first_arguments), all_commands=self.all_commands, keys=tuple(self.keys),
            all_keys=self.all_keys, channels=tuple(self.channels), all_channels=self.all_channels,
        )  # fmt: skip

    def apply(self, word: str) -> None:
        """One rule about commands, keys or channels."""
        match word.lower():
            case "allkeys" | "~*":
                self.keys, self.all_keys = [], True
            case "resetkeys":
                self.keys, self.all_keys = [], False
            case "allchannels" | "&*":
                self.channels, self.all_channels = [], True
            case "resetchannels":
                self.channels, self.all_channels = [], False
            case "allcommands" | "+@all":
                self.every_command(True)
            case "nocommands" | "-@all":
                self.every_command(False)
            case lower if lower[0] in "~%":
                self.key_pattern(word)
            case lower if lower[0] == "&":
                if self.all_channels:
                    raise AclError(word, "all channels are open already; resetchannels closes them")
                if word[1:] not in self.channels:
                    self.channels.append(word[1:])
            case lower if lower[0] in "+-":
                if lower[1:2] == "@":
                    self.category(lower)
                else:
                    self.command(word)
            case _:
                raise AclError(word, "is no rule; rules are on, off, >password, ~key-pattern, &channel-pattern, "
                                     "+command, +@category, -command, (selector) and the like")  # fmt: skip

    def key_pattern(self, word: str) -> None:
        """`~pattern`, or with what may be done to the keys: `%R~pattern`."""
        if self.all_keys:
            raise AclError(word, "all keys are open already; resetkeys closes them")
        found = re.fullmatch(r"(?:~|%([rw]|rw|wr)(?:~|$))(.*)", word, re.IGNORECASE | re.DOTALL)
        if not found:
            raise AclError(word, "what may be done to keys is %R~, %W~ or %RW~")
        letters = (found[1] or "rw").lower()
        added = KeyPattern(found[2], "r" in letters, "w" in letters)
        for place, known in enumerate(self.keys):
            if known.pattern == added.pattern:
                self.keys[place] = KeyPattern(added.pattern, known.read or added.read, known.write or added.write)
                return
        self.keys.append(added)

    def every_command(self, allow: bool) -> None:
        """`+@all` and `-@all`: what was said of commands before is forgotten."""
        self.rules, self.begins_open, self.all_commands = [], allow, allow
        self.commands = set(EVERY_COMMAND) if allow else set()
        self.first_arguments = set()

    def category(self, lower: str) -> None:
        """`+@name`: each row that has the category, and with a container its subcommands."""
        rows = CATEGORIES.get(lower[2:])
        if rows is None:
            raise AclError(lower, f"there is no such category{nearest(lower[2:], list(CATEGORIES))}")
        for row in rows:
            self.allow(row, lower[0] == "+")
        self.note(lower)

    def command(self, word: str) -> None:
        """`+get`, `+config|get`, or a first argument: `+select|0`."""
        name, _, argument = word[1:].lower().partition("|")
        allow = word[0] == "+"
        row = EVERY_COMMAND.get(word[1:].lower())
        if row is not None:
            self.allow(row, allow)
        elif name not in COMMANDS:
            raise AclError(word, f"there is no such command{nearest(name, list(COMMANDS))}")
        elif not argument:
            raise AclError(word, "a subcommand or first argument is missing after the bar")
        elif COMMANDS[name].subcommands:
            if argument.partition("|")[0] in COMMANDS[name].subcommands:
                raise AclError(word, "first arguments of subcommands cannot be told apart")
            raise AclError(word, f"there is no such subcommand{nearest(argument, list(COMMANDS[name].subcommands))}")
        elif not allow:
            raise AclError(word, f"a first argument can only be permitted; take {name} away and permit others")
        elif name not in self.commands:
            self.first_arguments.add((name, argument))
        self.note(word.lower())

    def allow(self, row: Command, allow: bool) -> None:
        """A row and its subcommands."""
        names = {row.name, *(child.name for child in row.subcommands.values())}
        if allow:
            self.commands |= names
        else:
            self.commands -= names
            self.all_commands = False
        self.first_arguments = {pair for pair in self.first_arguments if pair[0] != row.name}

    def note(self, rule: str) -> None:
        """Remember a rule, in place of those that it overrides."""
        name = rule[1:]
        self.rules = [old for old in self.rules if old[1:] != name and not old[1:].startswith(f"{name}|")]
        self.rules.append(rule)


class SelectorText(Struct, frozen=True):
    """A selector in ACL GETUSER's words."""

    commands: str
    keys: str
    channels: str


def describe_selector(selector: Selector) -> SelectorText:
    """The rules that make this selector, applied to one that permits nothing."""
    return SelectorText(
        commands=" ".join(("+@all" if selector.begins_open else "-@all", *selector.rules)),
        keys="~*" if selector.all_keys else " ".join(map(_key_text, selector.keys)),
        channels="&*" if selector.all_channels else " ".join(f"&{channel}" for channel in selector.channels),
    )


def _key_text(key: KeyPattern) -> str:
    return ("~" if key.read and key.write else "%R~" if key.read else "%W~") + key.pattern


def _rules(selector: Selector) -> str:
    text = describe_selector(selector)
    channels = text.channels if selector.all_channels else f"resetchannels {text.channels}".rstrip()
    return " ".join(part for part in (text.keys, channels, text.commands) if part)


def describe_user(user: User, hashes: Sequence[str] | None = None) -> str:
    """The rules of a user as ACL LIST shows them and an ACL file holds them, without `user NAME`; `hashes` instead of
    its own where they shall not be seen."""
    shown = [known.reveal() for known in user.hashes] if hashes is None else hashes
    words = [
        "on" if user.enabled else "off",
        *(["nopass"] if user.no_password else []),
        *(f"#{known}" for known in shown),
        _rules(user.selectors[0]),
        *(f"({_rules(selector)})" for selector in user.selectors[1:]),
    ]
    return " ".join(words)
