"""ACL rules: what they make, what is wrong with them, and the way back to text, against a naive twin and Redis."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.acl import (
    CATEGORIES,
    EVERY_COMMAND,
    AclError,
    apply_rules,
    default_user,
    describe_user,
    hash_password,
    new_user,
    parse_line,
    split_rules,
    users_of,
)
from proxy.config_file import loads
from proxy.config_text import effective, to_yaml
from proxy.settings import MASK, ConfigError, KeyPattern, Secret, User
from tests.oracle.acl import command_allowed
from tests.redis_server import Connection, needs_redis_server, redis_server
from tests.rules import COMMAND_NAMES, command_rule, random_rules

POOL = "pools:\n  cache:\n    listen: 127.0.0.1:6400\n    servers: [10.0.0.1:6379]\n"
DIGEST = hash_password("p").reveal()


def user(text: str) -> User:
    return apply_rules(new_user("u"), split_rules(text))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        connection = Connection(address)
        yield connection
        connection.close()


# -- commands ---------------------------------------------------------------------------------------------------------

RULES = st.randoms(use_true_random=False).map(lambda dice: [command_rule(dice) for _ in range(dice.randrange(12))])


@given(RULES)
def test_commands_are_those_of_the_naive_reading(rules: list[str]) -> None:
    selector = apply_rules(new_user("u"), rules).selectors[0]
    for row in EVERY_COMMAND.values():
        for first in ("0", "x", "a", "y"):
            allowed = row.name in selector.commands or (row.name, first) in selector.first_arguments
            assert allowed == command_allowed(rules, row, first), (row.name, first)
    assert not selector.all_commands or selector.commands == set(EVERY_COMMAND)


@given(RULES)
def test_the_text_of_a_user_makes_the_same_user(rules: list[str]) -> None:
    made = apply_rules(new_user("u"), [*rules, "%R~r*", "~k", "&c", "on", ">p", "(+get ~x &*)", "(-@all +@read %W~w)"])
    assert parse_line(f"user u {describe_user(made)}") == made


WORDS = r"""
+foo +@foo ~a %X~a %~a %RW~ ~* allkeys &a &* allchannels bar > #abc +config|foo +config| +select|0 +select| +foo|bar
-select|0 -config|get +config|get|x (+get (+get) ((+get)) () (on) <x +GET ON NOPASS RESETKEYS +@ALL +@String %rw~x %wr~x
%RR~x %R ~ & + - +@ ) sanitize-payload skip-sanitize-payload clearselectors resetpass reset >p <p off nocommands
allcommands resetchannels %R~a %W~a
"""


@needs_redis_server
def test_redis_reads_and_refuses_the_same_rules(redis: Connection) -> None:
    dice = random.Random(3)
    words = [*WORDS.split(), f"#{DIGEST}", f"!{DIGEST}", f"#{DIGEST.upper()}"]
    for words_of_one in [[word] for word in words] + [dice.sample(words, 3) for _ in range(400)]:
        redis("ACL", "DELUSER", "u")
        theirs = redis("ACL", "SETUSER", "u", *words_of_one)
        try:
            ours = user(" ".join(words_of_one))
        except AclError:
            assert isinstance(theirs, hiredis.ReplyError), words_of_one
            continue
        assert theirs == b"OK", words_of_one
        # Ours as Redis writes it once it has read ours: the same flags, passwords, keys and channels, and commands that
        # differ at most in how they are told.
        told = redis("ACL", "GETUSER", "u")
        assert redis("ACL", "SETUSER", "u", "reset", *split_rules(describe_user(ours))) == b"OK"
        again = redis("ACL", "GETUSER", "u")
        for shown in (told, again):
            shown[1] = [flag for flag in shown[1] if b"sanitize" not in flag]
        assert told[:4] == again[:4] and told[6:] == again[6:], words_of_one


@needs_redis_server
def test_categories_are_redis_s(redis: Connection) -> None:
    theirs = {name.decode() for name in redis("ACL", "CAT")}
    assert theirs == set(CATEGORIES)
    for name in theirs:
        ours = {row.name for row in CATEGORIES[name]} & set(COMMAND_NAMES)
        assert ours == {member.decode() for member in redis("ACL", "CAT", name)} & set(COMMAND_NAMES), name


# -- the rest of a user -----------------------------------------------------------------------------------------------


def test_a_new_user_may_nothing() -> None:
    assert not user("").enabled and not user("").hashes and not user("").no_password
    assert not user("").selectors[0].commands and not user("").unrestricted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("on >p", f"on #{DIGEST} resetchannels -@all"),
        ("on >p >p >q <q", f"on #{DIGEST} resetchannels -@all"),
        (">p nopass", "off nopass resetchannels -@all"),
        ("nopass >p", f"off #{DIGEST} resetchannels -@all"),
        ("%R~a %w~a ~b %W~c", "off ~a ~b %W~c resetchannels -@all"),
        ("~a allkeys", "off ~* resetchannels -@all"),
        ("&a &b &a", "off resetchannels &a &b -@all"),
        ("+@read -get +@all", "off resetchannels +@all"),
        ("+config|get +config -config|set", "off resetchannels -@all +config -config|set"),
        ("+get +select|0 -select", "off resetchannels -@all +get -select"),
        ("(+get ~a) (+set &b) clearselectors (~c)", "off resetchannels -@all (~c resetchannels -@all)"),
        ("on >p ~a +get (+set) reset", "off resetchannels -@all"),
    ],
)
def test_what_rules_come_to(text: str, shown: str) -> None:
    assert describe_user(user(text)) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("+gte", "'+gte': there is no such command; did you mean getex?"),
        ("+@raed", "'+@raed': there is no such category; did you mean read?"),
        ("+config|gte", "'+config|gte': there is no such subcommand; did you mean get?"),
        ("~* ~a", "'~a': all keys are open already; resetkeys closes them"),
        ("(+get ~a", "'(+get': its parenthesis is not closed"),
        ("%X~a", "'%X~a': what may be done to keys is %R~, %W~ or %RW~"),
        ("#secret", "'#…': a password hash is 64 lower-case hexadecimal digits, its SHA-256"),
        ("<secret", "'<…': the password to remove is none of the user's"),
    ],
)
def test_what_is_wrong_with_a_rule(text: str, message: str) -> None:
    with pytest.raises(AclError) as caught:
        user(text)
    assert str(caught.value) == message


@given(st.text("+-@~%&|()<>#!RW* agetconfigsl01\t", max_size=30))
def test_nothing_but_acl_error_escapes(text: str) -> None:
    try:
        made = user(text)
    except AclError:
        return
    assert user(describe_user(made)) == made


def test_the_default_user() -> None:
    assert default_user(None).unrestricted and default_user(None).no_password and default_user(None).enabled
    assert default_user(Secret("p")).hashes == (Secret(DIGEST),) and not default_user(Secret("p")).no_password


# -- in a configuration -----------------------------------------------------------------------------------------------


def pool_users(text: str, environ: dict[str, str] | None = None) -> dict[str, User]:
    (pool,) = loads(POOL + text, "f", environ or {}).pools
    return {user.name: user for user in users_of(pool)}


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(POOL + text, "f", {})
    return [str(problem) for problem in caught.value.problems]


def test_users_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    users = pool_users(f"""\
    password: default-password
    users:
      app: {{password: ["${{A}}", b], rules: "~app:* +@all -@dangerous"}}
      hashed: {{password_hash: {DIGEST}, rules: "off", scripts: yes}}
      file: {{password_file: {tmp_path}/secret, rules: ["%R~*", "+@read"]}}
      open: {{nopass: true, rules: "+ping"}}
""", {"A": "a"})  # fmt: skip
    assert list(users) == ["app", "default", "file", "hashed", "open"]
    assert users["app"].hashes == (hash_password("a"), hash_password("b")) and users["app"].enabled
    assert users["app"].selectors[0].keys == (KeyPattern("app:*"),)
    assert users["default"] == default_user(Secret("default-password"))
    assert users["file"].hashes == (hash_password("from-file"),)
    assert users["file"].selectors[0].keys == (KeyPattern("*", True, False),)
    assert users["hashed"].hashes == (Secret(DIGEST),) and users["hashed"].scripts and not users["hashed"].enabled
    assert users["open"].no_password and not users["open"].hashes and not users["open"].scripts


def test_rules_for_the_default_user_take_the_place_of_everything() -> None:
    users = pool_users("    users: {default: {nopass: yes, rules: '+ping'}}")
    assert list(users) == ["default"] and not users["default"].unrestricted


def test_every_mistake_has_its_place() -> None:
    assert problems("""\
    users:
      a: {rules: "+get"}
      b: {password: x}
      c: {password: x, rules: "+gte"}
      d: {password_hash: abc, rules: "+get"}
      e: {password: x, nopass: yes, rules: "+get"}
      f: {pasword: x, rules: "+get"}
      "g h": {password: x, rules: "+get"}
      i: +get
      a: {rules: off}
""") == [
        "f:6:7: pools.cache.users.a: has no password; give it one, or nopass: true",
        'f:7:7: pools.cache.users.b.rules: is missing: what the user may do, e.g. "~app:* +@all -@dangerous"',
        "f:8:31: pools.cache.users.c.rules: '+gte': there is no such command; did you mean getex?",
        "f:9:26: pools.cache.users.d.password_hash: '#…': a password hash is 64 lower-case hexadecimal digits, its "
        "SHA-256",
        "f:10:32: pools.cache.users.e.nopass: makes the passwords void; keep one of them",
        "f:11:11: pools.cache.users.f.pasword: unknown option; did you mean password?",
        "f:12:7: pools.cache.users.g h: 'g h': the name of a user has no blanks and is not empty",
        "f:13:10: pools.cache.users.i: expected the password and the rules of a user, got '+get'",
        "f:14:7: pools.cache.users.a: occurs twice, first on line 6; keep one",
    ]
    assert problems("    users: [a]") == [
        "f:5:12: pools.cache.users: expected NAME: {password, rules} for each user, got a list"
    ]
    assert problems("    password: x\n    users: {default: {password: y, rules: on}}") == [
        "f:6:12: pools.cache.users: has a user called default, whose password is given by password, too; keep one"
    ]


def test_an_acl_file(tmp_path: Path) -> None:
    file = tmp_path / "users.acl"
    file.write_text(f"user default off\n\nuser a on #{DIGEST} ~a:* +@all (+get ~b)\n")
    users = pool_users(f"    acl_file: {file}")
    assert list(users) == ["a", "default"] and not users["default"].enabled and len(users["a"].selectors) == 2
    file.write_text("user a on >secret +gte\nusr b\nuser a on\n user c ~* ~x >hidden\nuser d on\nuser d on\n")
    assert problems(f"    acl_file: {file}") == [
        f"{file}:1:19: pools.cache.acl_file: '+gte': there is no such command; did you mean getex?",
        f"{file}:2:1: pools.cache.acl_file: 'usr': a line of an ACL file is: user NAME rule rule …",
        f"{file}:4:12: pools.cache.acl_file: '~x': all keys are open already; resetkeys closes them",
        f"{file}:6:6: pools.cache.acl_file: 'd': this user has a line already; keep one of them",
    ]
    assert problems("    acl_file: /nonexistent/x") == [
        "f:5:15: pools.cache.acl_file: cannot read /nonexistent/x: No such file or directory"
    ]
    file.write_text("user d on")
    assert problems(f"    acl_file: {file}\n    users: {{}}") == [
        "f:6:12: pools.cache.users: users is already given by acl_file; keep one of them"
    ]


@needs_redis_server
def test_an_acl_file_of_redis(redis: Connection, tmp_path: Path) -> None:
    """What ACL LIST of a real server says is an ACL file."""
    dice = random.Random(11)
    for number in range(50):
        redis("ACL", "SETUSER", f"u{number}", "reset", *random_rules(dice))
    file = tmp_path / "users.acl"
    file.write_bytes(b"\n".join(redis("ACL", "LIST")))
    assert len(pool_users(f"    acl_file: {file}")) >= 51


def test_no_secret_of_a_user_is_shown() -> None:
    settings = loads(POOL + "    users: {a: {password: [x, y], rules: '+get >zz'}}", "f", {})
    digests = [known.reveal() for known in settings.pools[0].users[0].hashes]
    assert len(digests) == 3 and not any(digest in repr(settings) for digest in digests)
    text = to_yaml(effective(settings))
    assert MASK in text and not any(digest in text for digest in digests)
    again = loads(text, "f", {})
    assert [warning.message for warning in again.warnings] == ["is the mask that quench config prints"]
