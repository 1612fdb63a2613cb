"""The error table: every error reply that the proxy makes by itself.

One row gives the symbol the code uses, the RESP text clients see and the label metrics count it under. The first word
of a text is a Redis error code, because clients switch on it; where Redis has a text for the same situation the row
carries Redis's wording, so that clients which match it keep working. Errors made by a node pass through untouched and
never come from here.

The engine reads the templates once, at start, and fills them without Python: a placeholder is ``{name}`` and nothing
more (no format specification, no attribute, no escape), and a text holds no CR or LF. Durations are in milliseconds,
sizes in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = [
    "ENGINE_ERRORS",
    "ENGINE_FIELDS",
    "ERRORS",
    "PLACEHOLDER",
    "ConfigurationError",
    "ErrorRow",
    "QuenchError",
    "ReplyError",
    "error_reply",
    "error_text",
    "subcommand_error",
    "unknown_command",
]

#: What a template may contain besides plain text.
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

#: Redis shows at most this many bytes of an unknown command's name, and of its arguments taken together.
UNKNOWN_COMMAND_SHOWN = 128


class ErrorRow(NamedTuple):
    """One error: its symbol, the RESP text (without the leading ``-`` and the CRLF) and its metric label."""

    code: str
    text: str
    label: str


class QuenchError(Exception):
    """The parent of every exception this package raises on purpose."""


class ConfigurationError(QuenchError):
    """The configuration cannot be used; the text says where it is wrong and what to write instead."""


class ReplyError(QuenchError):
    """One request cannot be served. Whoever holds the client answers with `reply` and carries on.

    Raises:
        KeyError: if ``code`` is not in the table or a placeholder of its text is missing from ``fields``.
    """

    def __init__(self, code: str, **fields: object) -> None:
        self.code = code
        self.text = error_text(code, **fields)
        super().__init__(self.text)

    @property
    def reply(self) -> bytes:
        """The error as RESP bytes."""
        return _frame(self.text)


# fmt: off
_ROWS = (
    # the request itself
    ErrorRow("unknown_command", "ERR unknown command '{command}', with args beginning with: {arguments}",
             "unknown_command"),
    ErrorRow("unknown_subcommand", "ERR unknown subcommand '{arguments}'. Try {command} HELP.", "unknown_command"),
    ErrorRow("subcommand_syntax",
             "ERR unknown subcommand or wrong number of arguments for '{arguments}'. Try {command} HELP.", "syntax"),
    ErrorRow("wrong_arity", "ERR wrong number of arguments for '{command}' command", "wrong_arity"),
    ErrorRow("syntax", "ERR syntax error", "syntax"),
    ErrorRow("not_an_integer", "ERR value is not an integer or out of range", "syntax"),
    ErrorRow("database_range", "ERR DB index is out of range", "syntax"),
    ErrorRow("client_name", "ERR Client names cannot contain spaces, newlines or special characters.", "syntax"),
    ErrorRow("client_attribute",
             "ERR {attribute} cannot contain spaces, newlines or special characters.", "syntax"),
    ErrorRow("client_option", "ERR Unrecognized option '{option}'", "syntax"),
    ErrorRow("client_type", "ERR Unknown client type '{type}'", "syntax"),
    ErrorRow("client_id", "ERR Invalid client ID", "syntax"),
    ErrorRow("client_id_number", "ERR client-id should be greater than 0", "syntax"),
    ErrorRow("client_age", "ERR maxage should be greater than 0", "syntax"),
    ErrorRow("client_age_number", "ERR maxage is not an integer or out of range", "syntax"),
    ErrorRow("client_unknown", "ERR No such client", "syntax"),
    ErrorRow("user_unknown", "ERR No such user '{user}'", "syntax"),
    ErrorRow("timeout_number", "ERR timeout is not an integer or out of range", "syntax"),
    ErrorRow("timeout_negative", "ERR timeout is negative", "syntax"),
    ErrorRow("pause_mode", "ERR CLIENT PAUSE mode must be WRITE or ALL", "syntax"),
    ErrorRow("subcommand_arity",
             "ERR unknown subcommand or wrong number of arguments for '{arguments}'. Try {command} HELP.", "syntax"),
    ErrorRow("acl_category", "ERR Unknown category '{option}'", "syntax"),
    ErrorRow("acl_user", "ERR User '{option}' not found", "syntax"),
    ErrorRow("acl_command", "ERR Command '{option}' not found", "syntax"),
    ErrorRow("acl_bits",
             "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to "
             "{limit}", "syntax"),
    ErrorRow("config_unknown", "ERR Unknown option or number of arguments for CONFIG SET - '{name}'", "syntax"),
    ErrorRow("config_failed", "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}", "syntax"),
    ErrorRow("keys_invalid", "ERR Invalid arguments specified for command", "syntax"),
    ErrorRow("keys_none", "ERR The command has no key arguments", "syntax"),
    ErrorRow("keys_unknown_command", "ERR Invalid command specified", "syntax"),
    ErrorRow("keys_arity", "ERR Invalid number of arguments specified for command", "syntax"),
    # what the proxy does not do
    ErrorRow("later", "ERR '{command}' is not supported yet: it needs {capability}", "later"),
    ErrorRow("subscribed",
             "ERR Can't execute '{command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
             "in this context", "subscribed"),
    ErrorRow("refused", "ERR '{command}' is refused by the proxy: {why}", "refused"),
    ErrorRow("cross_slot",
             "CROSSSLOT Keys in request don't hash to the same slot: '{command}' needs them on one node of pool {pool}",
             "cross_slot"),
    ErrorRow("no_key", "ERR '{command}' names no key, so pool {pool} cannot choose a node for it", "no_key"),
    ErrorRow("sharded",
             "ERR '{command}' is refused for a counter that is spread over several nodes, which counters.prefixes of "
             "pool {pool} says", "refused"),
    ErrorRow("reserved_key",
             "ERR '{command}' names a key that ends with a zero byte, '#' and a number: in pool {pool} such keys are "
             "copies of hot ones", "refused"),
    # copies of keys at several nodes
    ErrorRow("quorum_not_sent",
             "ERR '{command}' was not sent: fewer nodes of pool {pool} that hold its keys can be reached than have to "
             "confirm it", "quorum"),
    ErrorRow("quorum_unknown",
             "ERR the fate of '{command}' is unknown: {limit} nodes of pool {pool} have to confirm it, and fewer did",
             "quorum"),
    ErrorRow("quorum_read",
             "ERR fewer nodes of pool {pool} that hold the keys of '{command}' can be reached than have to answer it",
             "quorum"),
    ErrorRow("copies_refused",
             "ERR '{command}' is refused in pool {pool}: with replication: ring it cannot be repeated exactly on "
             "the other nodes of its keys", "refused"),
    ErrorRow("copies_hidden",
             "ERR '{command}' names a key that begins with a zero byte and 'quench:': in pool {pool} such keys are the "
             "proxy's own", "refused"),
    # rights and the handshake
    ErrorRow("noauth", "NOAUTH Authentication required.", "noauth"),
    ErrorRow("noauth_hello",
             "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
             "<user> <pass> option can be used to authenticate the client and select the RESP protocol version at "
             "the same time", "noauth"),
    ErrorRow("wrong_password", "WRONGPASS invalid username-password pair or user is disabled.", "noauth"),
    ErrorRow("no_password_set",
             "ERR AUTH <password> called without any password configured for the default user. "
             "Are you sure your configuration is correct?", "noauth"),
    ErrorRow("no_permission_command", "NOPERM this user has no permissions to run the '{command}' command", "noperm"),
    ErrorRow("no_permission_key",
             "NOPERM this user has no permissions to access one of the keys used as arguments", "noperm"),
    ErrorRow("no_permission_channel",
             "NOPERM this user has no permissions to access one of the channels used as arguments", "noperm"),
    ErrorRow("no_permission_script",
             "NOPERM '{command}' runs code at the node, where the rights of this user do not hold; to allow it, set "
             "scripts: true for the user", "noperm"),
    ErrorRow("no_permission_sort_by", "ERR BY option of SORT denied due to insufficient ACL permissions.", "noperm"),
    ErrorRow("no_permission_sort_get", "ERR GET option of SORT denied due to insufficient ACL permissions.", "noperm"),
    ErrorRow("protocol_version", "NOPROTO unsupported protocol version", "protocol_version"),
    ErrorRow("protocol_version_number", "ERR Protocol version is not an integer or out of range", "protocol_version"),
    ErrorRow("hello_option", "ERR Syntax error in HELLO option '{option}'", "syntax"),
    # the byte stream: answered once, then the connection closes
    ErrorRow("protocol_inline_size", "ERR Protocol error: too big inline request", "protocol"),
    ErrorRow("protocol_inline_quotes", "ERR Protocol error: unbalanced quotes in request", "protocol"),
    ErrorRow("protocol_multibulk_header", "ERR Protocol error: too big mbulk count string", "protocol"),
    ErrorRow("protocol_multibulk_length", "ERR Protocol error: invalid multibulk length", "protocol"),
    ErrorRow("protocol_multibulk_noauth", "ERR Protocol error: unauthenticated multibulk length", "protocol"),
    ErrorRow("protocol_bulk_expected", "ERR Protocol error: expected '$', got '{byte}'", "protocol"),
    ErrorRow("protocol_bulk_header", "ERR Protocol error: too big bulk count string", "protocol"),
    ErrorRow("protocol_bulk_length", "ERR Protocol error: invalid bulk length", "protocol"),
    ErrorRow("protocol_bulk_noauth", "ERR Protocol error: unauthenticated bulk length", "protocol"),
    # limits
    ErrorRow("max_clients", "ERR max number of clients reached", "max_clients"),
    ErrorRow("query_limit", "ERR the requests waiting on this connection exceed {limit} bytes", "query_limit"),
    ErrorRow("output_limit", "ERR the unread replies of this connection exceed {limit} bytes", "output_limit"),
    ErrorRow("input_memory",
             "ERR the proxy holds {limit} bytes of incomplete requests, its limit; '{command}' was not sent",
             "input_memory"),
    ErrorRow("backlog_full",
             "ERR the backlog of node {node} ({address}) in pool {pool} is full ({limit} bytes); "
             "'{command}' was not sent",
             "backlog_full"),
    ErrorRow("draining", "ERR the proxy is shutting down; '{command}' was not sent", "draining"),
    ErrorRow("busy", "ERR the proxy has too many requests of its own to answer; '{command}' was dropped", "busy"),
    ErrorRow("clients_unknown", "ERR engine {engine} did not describe its clients within {limit} ms; try again",
             "busy"),
    ErrorRow("internal", "ERR the proxy failed to answer '{command}': a mistake in it that its log describes",
             "internal"),
    # commands for all nodes
    ErrorRow("some_failed", "ERR '{command}' failed on {failed} of {nodes} nodes of pool {pool}: {reason}",
             "some_failed"),
    ErrorRow("some_done",
             "ERR '{command}' was done on {done} of {nodes} nodes of pool {pool} only: {reason}", "some_failed"),
    ErrorRow("gathered_limit",
             "ERR the nodes' replies to '{command}' exceed {limit} bytes, limits.output_hard; ask for less",
             "gathered"),
    ErrorRow("cursor_range",
             "ERR the cursor of node {node} is too large to be counted together with the other nodes", "gathered"),
    ErrorRow("cursor", "ERR invalid cursor", "syntax"),
    ErrorRow("cursor_lost",
             "ERR the cluster has changed since this cursor was made: its node holds other slots; begin the scan anew",
             "gathered"),
    ErrorRow("slowlog_count", "ERR count should be greater than or equal to -1", "syntax"),
    # nodes
    ErrorRow("node_down", "ERR node {node} ({address}) of pool {pool} is down: {reason}; '{command}' was not sent",
             "node_down"),
    ErrorRow("pool_down", "ERR pool {pool} has no live node; '{command}' was not sent", "node_down"),
    ErrorRow("slot_unserved",
             "CLUSTERDOWN Hash slot not served: pool {pool} knows no node that holds it; '{command}' was not sent",
             "node_down"),
    ErrorRow("cluster_down",
             "CLUSTERDOWN '{command}' was not executed: node {node} ({address}) of pool {pool} said: {reason}; send it "
             "again when the cluster serves all slots", "cluster_down"),
    ErrorRow("not_redirected",
             "TRYAGAIN '{command}' was not executed after {elapsed} ms: node {node} ({address}) of pool {pool} "
             "sends it elsewhere: {reason}; send it again", "not_redirected"),
    ErrorRow("timeout_not_sent",
             "ERR '{command}' was not sent: node {node} ({address}) of pool {pool} took no request for {elapsed} ms",
             "not_sent"),
    ErrorRow("timeout_read",
             "ERR node {node} ({address}) of pool {pool} did not answer '{command}' within {elapsed} ms", "timeout"),
    ErrorRow("timeout_write",
             "ERR the fate of '{command}' is unknown: node {node} ({address}) of pool {pool} did not answer within "
             "{elapsed} ms; it was not retried", "fate_unknown"),
    ErrorRow("lost_not_sent",
             "ERR '{command}' was not sent: node {node} ({address}) of pool {pool} was lost after {elapsed} ms: "
             "{reason}",
             "not_sent"),
    ErrorRow("lost_read",
             "ERR node {node} ({address}) of pool {pool} was lost {elapsed} ms into '{command}': {reason}",
             "node_lost"),
    ErrorRow("lost_write",
             "ERR the fate of '{command}' is unknown: node {node} ({address}) of pool {pool} was lost {elapsed} ms "
             "into it: {reason}; it was not retried", "fate_unknown"),
    ErrorRow("fenced",
             "ERR the fate of '{command}' is unknown: node {node} ({address}) of pool {pool} answered after {elapsed} "
             "ms, when this proxy was out of touch with most of the pool; it was not retried", "fate_unknown"),
    ErrorRow("fenced_late",
             "ERR the fate of a command is unknown: it was answered in time, but behind an earlier one that was not, "
             "and meanwhile this proxy was out of touch with most of pool {pool}", "fate_unknown"),
    ErrorRow("database_limit",
             "ERR database {database} cannot be opened on node {node} ({address}) of pool {pool}: all {limit} extra "
             "connections are in use", "database_limit"),
    # blocking commands and transactions
    ErrorRow("max_blocked", "ERR max blocked clients reached: {limit} of pool {pool} wait on node {node} ({address})",
             "max_blocked"),
    ErrorRow("max_watching", "ERR max watching clients reached: {limit} of pool {pool} hold a WATCH on node {node} "
             "({address})", "max_watching"),
    ErrorRow("unblock_reason", "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR", "syntax"),
    ErrorRow("redirect",
             "ERR REDIRECT is not supported by the proxy: use HELLO 3, and invalidations come on the connection itself",
             "refused"),
    ErrorRow("in_multi", "ERR '{command}' cannot be part of a transaction: the proxy answers it, or every node has to",
             "in_multi"),
    ErrorRow("watch_node",
             "CROSSSLOT Keys in request don't hash to the same slot: '{command}' needs them on the node of pool {pool} "
             "that holds the watched keys", "cross_slot"),
    ErrorRow("transaction_size",
             "ERR '{command}' was not queued: the transaction exceeds {limit} bytes, the limit of one client, or the "
             "memory for requests is used up", "input_memory"),
    ErrorRow("exec_abort", "EXECABORT Transaction discarded because of previous errors.", "exec_abort"),
)
# fmt: on

#: code → row, in table order.
ERRORS: dict[str, ErrorRow] = {row.code: row for row in _ROWS}

#: The placeholders the engine can fill: what it knows about a request and its node.
ENGINE_FIELDS = ("command", "arguments", "pool", "node", "address", "reason", "elapsed", "limit")

#: The rows the engine words by itself, in the order of its ErrorKind.
ENGINE_ERRORS: tuple[ErrorRow, ...] = tuple(
    ERRORS[code]
    for code in (
        "unknown_command",
        "unknown_subcommand",
        "wrong_arity",
        "noauth",
        "cross_slot",
        "node_down",
        "pool_down",
        "timeout_not_sent",
        "timeout_read",
        "timeout_write",
        "lost_not_sent",
        "lost_read",
        "lost_write",
        "backlog_full",
        "max_clients",
        "busy",
        "max_blocked",
        "max_watching",
        "in_multi",
        "watch_node",
        "transaction_size",
        "redirect",
        "subscribed",
        "no_permission_command",
        "no_permission_key",
        "no_permission_channel",
        "no_permission_script",
        "no_permission_sort_by",
        "no_permission_sort_get",
        "reserved_key",
        "quorum_not_sent",
        "quorum_unknown",
        "quorum_read",
        "copies_refused",
        "copies_hidden",
        "slot_unserved",
        "cluster_down",
        "not_redirected",
        "fenced",
        "sharded",
    )
)


def error_text(code: str, **fields: object) -> str:
    """The text of error ``code`` with its placeholders filled.

    Bytes are shown as Latin-1, so that no byte is lost. CR and LF become spaces: a text is one RESP line.

    Raises:
        KeyError: if the code is unknown or a placeholder has no field.
    """

    def fill(match: re.Match[str]) -> str:
        value = fields[match[1]]
        return value.decode("latin-1") if isinstance(value, bytes) else str(value)

    return PLACEHOLDER.sub(fill, ERRORS[code].text).replace("\r", " ").replace("\n", " ")


def error_reply(code: str, **fields: object) -> bytes:
    """The error as RESP bytes, ready for a client. Raises `KeyError` as `error_text` does."""
    return _frame(error_text(code, **fields))


def unknown_command(args: Sequence[bytes]) -> ReplyError:
    """Redis's answer to a command that does not exist; ``args`` is the whole request, name first, and not empty.

    Redis appends arguments while fewer than 128 bytes are shown, cutting the last one.
    """
    shown = b""
    for arg in args[1:]:
        if len(shown) >= UNKNOWN_COMMAND_SHOWN:
            break
        shown += b"'" + arg[: UNKNOWN_COMMAND_SHOWN - len(shown)] + b"' "
    return ReplyError("unknown_command", command=args[0][:UNKNOWN_COMMAND_SHOWN], arguments=shown)


def subcommand_error(args: Sequence[bytes]) -> ReplyError:
    """Redis's answer to an unknown subcommand; ``args`` holds at least the command and the subcommand."""
    return ReplyError("unknown_subcommand", arguments=args[1][:UNKNOWN_COMMAND_SHOWN], command=args[0].upper())


def _frame(text: str) -> bytes:
    return b"-" + text.encode("latin-1", "replace") + b"\r\n"
