"""The judgement of rights in plain words against ACL DRYRUN of the real server, and the log of refusals."""

from __future__ import annotations

import random

import hiredis
from msgspec.structs import replace

from proxy.acl import apply_rules, new_user
from proxy.commands import find
from proxy.control.answers.rights import external_keys, permitted
from proxy.control.denials import MOST, Denial, DenialLog
from tests.redis_server import Connection, needs_redis_server, redis_server
from tests.rules import REQUESTS, random_rules


@needs_redis_server
def test_permitted_as_dryrun_says(tmp_path):
    """Random users, every request: the verdict, what it is about, and the key or channel that is named."""
    dice = random.Random(1)
    seen = set()
    with redis_server(tmp_path) as address:
        redis = Connection(address)
        for _ in range(150):
            rules = random_rules(dice)
            assert redis("ACL", "SETUSER", "u", "reset", *rules) == b"OK", rules
            # A script is another matter: see test_scripts.
            user = replace(apply_rules(new_user("u"), rules), scripts=True)
            for args in dice.sample(REQUESTS, 60):
                theirs = redis("ACL", "DRYRUN", "u", *args)
                command = find(args)
                denial, position = permitted(user, command, args)
                seen.add(denial)
                said = b"This user has no permissions to "
                expected = {
                    Denial.NONE: b"OK",
                    Denial.COMMAND: said + b"run the '%b' command" % command.name.encode(),
                    Denial.KEY: said + b"access the '%b' key" % args[position],
                    Denial.CHANNEL: said + b"access the '%b' channel" % args[position],
                }
                assert theirs == expected[denial], (rules, args)
        redis.close()
    assert seen == {Denial.NONE, Denial.COMMAND, Denial.KEY, Denial.CHANNEL}


def verdict(rules, line, scripts=False):
    args = line.encode().split()
    user = replace(apply_rules(new_user("u"), rules.split()), scripts=scripts)
    return permitted(user, find(args), args)[0]


def test_scripts():
    assert verdict("~* +@all", "EVAL x 1 k") is Denial.SCRIPT
    assert verdict("~* &* +@all", "EVAL x 1 k") is Denial.NONE, "who may do everything may do it in a script"
    assert verdict("~k +eval", "EVAL x 1 k", scripts=True) is Denial.NONE
    assert verdict("~k +eval", "EVAL x 1 z", scripts=True) is Denial.KEY
    assert verdict("~k +get", "FCALL x 0", scripts=True) is Denial.COMMAND


MALFORMED = ("EVAL x nonsense k", "LMPOP 9 k LEFT", "LMPOP 0 k LEFT", "ZUNIONSTORE k x k", "XREAD COUNT 2 3 4",
             "EVAL x -1 k", "SINTERCARD 2 k", "ZUNION 0 k")  # fmt: skip


def test_a_request_whose_keys_cannot_be_told_needs_every_key():
    for line in MALFORMED:
        assert verdict("~k &* +@all", line, scripts=True) is Denial.KEY, line
        assert verdict("~* &* +@all -get", line, scripts=True) is Denial.NONE, line


@needs_redis_server
def test_sort_with_foreign_keys(tmp_path):
    cases = ["~a +@all", "~a %R~* +@all", "~a %W~* +@all", "~* +@all", "~a +@all (~* +get)", "~a +@all (%R~* +sort)"]
    lines = [
        "SORT a", "SORT a BY x", "SORT a BY x_*", "SORT a GET #", "SORT a GET x_*", "SORT a LIMIT 0 1 GET x",
        "SORT a ASC BY * GET #", "SORT_RO a BY w_*", "SORT_RO a LIMIT 0 1 DESC GET x", "SORT a STORE a",
    ]  # fmt: skip
    with redis_server(tmp_path) as address:
        redis = Connection(address)
        for rules in cases:
            for line in lines:
                args = line.encode().split()
                user = apply_rules(new_user("u"), ["on", "nopass", *rules_of(rules)])
                option = external_keys(user, find(args), args)
                assert redis("ACL", "SETUSER", "u", "reset", "on", "nopass", *rules_of(rules)) == b"OK"
                redis("AUTH", "u", "x")
                theirs = redis(*args)
                redis("AUTH", "default", "x")
                if option:
                    expected = f"ERR {option} option of SORT denied due to insufficient ACL permissions."
                    assert isinstance(theirs, hiredis.ReplyError) and str(theirs) == expected, (rules, line)
                else:
                    assert not isinstance(theirs, hiredis.ReplyError), (rules, line, theirs)
        redis.close()


def rules_of(text):
    head, bar, tail = text.partition(" (")
    return [*head.split(), *([f"({tail}"] if bar else [])]


# -- the log ----------------------------------------------------------------------------------------------------------


def test_the_log_counts_what_is_alike_and_is_bounded():
    log = DenialLog()
    log.add(0, Denial.KEY, b"k", b"u", "one", 100.0)
    log.add(0, Denial.KEY, b"x", b"u", "two", 101.0)
    log.add(0, Denial.KEY, b"k", b"u", "three", 102.0)
    log.add(1, Denial.KEY, b"k", b"u", "other pool", 102.0)
    first, second = log.latest(0, 10)
    assert (first.count, first.client, first.created, first.updated, first.number) == (2, "three", 100.0, 102.0, 0)
    assert (second.object, second.count, second.number) == (b"x", 1, 1)
    assert log.latest(0, 1) == [first] and log.latest(0, 0) == [] == log.latest(0, -1)
    log.add(0, Denial.KEY, b"k", b"u", "later", 163.0)
    assert [entry.count for entry in log.latest(0, 10)] == [1, 2, 1], "more than a minute apart"
    log.reset(0)
    assert log.latest(0, 10) == [] and len(log.latest(1, 10)) == 1
    for number in range(1000):
        log.add(0, Denial.COMMAND, b"%d" % number, b"u", "", 200.0)
    assert len(log.latest(0, 1000)) == MOST and log.latest(0, 1)[0].object == b"999"
