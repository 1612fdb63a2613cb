"""The storage node: the embedded default behind a proxy, and the cheapest thing that answers Redis's string commands.

A request's life, file by file: loop (sockets) → execute (framing, checks) → commands (the table) → strings, bits, keys,
session, config, info (handlers) → keyspace → table; evict and expire give memory back. Types are in types.pxd.
Everything but server.py is compiled and runs in one thread without the GIL. Of proxy it uses proxy.wire only.
"""
