"""Users of a pool in a configuration file: the `users` mapping and the ACL file, to records, and the records back.

    users:
      app: {password: ${APP_PASSWORD}, rules: "~app:* +@all -@dangerous"}
      metrics: {password_hash: 9f86…, rules: "+info +ping"}

A user that is written here is on unless its rules say `off`; a line of an ACL file means what it means to Redis, where
a user is off unless it says `on`.
"""

from pathlib import Path
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from yaml.nodes import MappingNode, Node, SequenceNode

from proxy.acl import AclError, apply_rules, describe_user, hash_password, new_user, parse_line, split_rules
from proxy.config_walk import Walk, shape
from proxy.options import Option
from proxy.settings import MASK, Problem, Secret, User
from proxy.spelling import nearest

#: What can be said of a user, as rows of the kind that options are; `rules` has to be there.
FIELDS: dict[str, Option] = {
    option.key: option
    for option in (
        Option("password", "secret", "a password, or a list of them"),
        Option("password_file", "file", "the password, taken from the first line of this file; or a list of files"),
        Option("password_hash", "text", "the SHA-256 of a password in hexadecimal digits, or a list of them"),
        Option("nopass", "flag", "any password is right"),
        Option("rules", "text", "what the user may do, as Redis's ACL SETUSER takes it"),
        Option("scripts", "flag", "scripts are allowed though nodes do not hold them to the rules"),
    )
}


def read_users(walk: Walk, node: Node, path: str) -> tuple[User, ...] | UnsetType:
    """The users of a `users` mapping; UNSET, and its problems noted, if one is wrong."""
    if not isinstance(node, MappingNode):
        walk.problem(node, path, f"expected NAME: {{password, rules}} for each user, got {shape(node)}")
        return UNSET
    before = len(walk.problems)
    users = []
    for name, key, value in walk.entries(node, path):
        user = _read_user(walk, name, key, value, f"{path}.{name}")
        if user is not None:
            users.append(user)
    return tuple(users) if len(walk.problems) == before else UNSET


def _read_user(walk: Walk, name: str, key: Node, node: Node, path: str) -> User | None:
    if not isinstance(node, MappingNode):
        walk.problem(node, path, f"expected the password and the rules of a user, got {shape(node)}")
        return None
    before = len(walk.problems)
    values: dict[str, list[Any]] = {}
    nodes: dict[str, Node] = {}
    for field, field_key, value in walk.entries(node, path):
        if field not in FIELDS:
            walk.problem(field_key, f"{path}.{field}", f"unknown option{nearest(field, list(FIELDS))}")
            continue
        nodes[field] = value
        single = FIELDS[field].kind == "flag" or not isinstance(value, SequenceNode)
        items = [value] if single else value.value
        read = [walk.scalar(FIELDS[field], item, f"{path}.{field}") for item in items]
        values[field] = [item for item in read if item is not UNSET]
    if "rules" not in nodes:
        walk.problem(key, f"{path}.rules", 'is missing: what the user may do, e.g. "~app:* +@all -@dangerous"')
    if len(walk.problems) > before:
        return None
    try:
        user = replace(new_user(name), enabled=True, scripts=values.get("scripts", [False])[0])
    except AclError as error:
        walk.problem(key, path, str(error))
        return None
    hashes = [Secret(digits) for digits in values.get("password_hash", [])]
    for kind in ("password", "password_file"):
        hashes += [hash_password(secret.reveal()) for secret in values.get(kind, [])]
    for digest in hashes:
        if digest == Secret(MASK):
            walk.warn(nodes["password_hash"], f"{path}.password_hash", "is the mask that quench config prints")
            user = replace(user, hashes=(*user.hashes, digest))
    digests = [f"#{digest.reveal()}" for digest in hashes if digest != Secret(MASK)]
    for field, rules in (
        ("password_hash", digests),
        ("nopass", ["nopass"] if values.get("nopass", [False])[0] else []),
        ("rules", [rule for text in values["rules"] for rule in split_rules(text)]),
    ):
        if field == "nopass" and rules and user.hashes:
            walk.problem(nodes[field], f"{path}.{field}", "makes the passwords void; keep one of them")
        try:
            user = apply_rules(user, rules)
        except AclError as error:
            walk.problem(nodes.get(field, key), f"{path}.{field}", str(error))
    if user.enabled and not user.hashes and not user.no_password and len(walk.problems) == before:
        walk.problem(key, path, "has no password; give it one, or nopass: true")
    return user if len(walk.problems) == before else None


def read_acl_file(walk: Walk, node: Node, path: str) -> tuple[User, ...] | UnsetType:
    """The users of an ACL file, relative to the working directory; UNSET, and its problems noted at their lines, if it
    cannot be used."""
    file = walk.text(node, path)
    if file is None:
        return UNSET
    try:
        lines = Path(file).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        walk.problem(node, path, f"cannot read {file}: {reason}")
        return UNSET
    before = len(walk.problems)
    users: dict[str, User] = {}
    for number, line in enumerate(lines, 1):
        try:
            user = parse_line(line)
            if user is not None and user.name in users:
                raise AclError(user.name, "this user has a line already; keep one of them")
            if user is not None:
                users[user.name] = user
        except AclError as error:
            column = max(line.find(error.word.rstrip("…").split(" ")[0]), 0) + 1
            walk.problems.append(Problem(file, number, column, path, str(error)))
    return tuple(users.values()) if len(walk.problems) == before else UNSET


def spell_users(users: tuple[User, ...]) -> dict[str, dict[str, Any]]:
    """What YAML should hold for `users`; passwords are one mask, however many there are."""
    return {
        user.name: {
            **({"password_hash": MASK} if user.hashes else {}),
            "rules": describe_user(user, hashes=()),
            **({"scripts": True} if user.scripts else {}),
        }
        for user in users
    }
