"""The storage node: the embedded default behind a proxy, with Redis's types at a fraction of the cost.

A request's life, file by file: loop (sockets) → execute (framing, checks) → commands (the table) → strings, hashes,
lists, sets, zsets, keys, session … (handlers) → collection, sortedset, deque (values) → keyspace → table → heap;
changes is told of every write; expire, evict and reaper give memory back. Types are in types.pxd.
Everything but server.py is compiled and runs in one thread without the GIL. Of proxy it uses proxy.wire only.
"""
