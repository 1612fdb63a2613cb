# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Facts: one row a command. See facts.pxd.

A row without a command in commands.pyx says nothing; a command without a row here has no category and no keys.
"""

from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort
from libc.string cimport strcmp

from storenode.types cimport Fact

cdef enum:
    FACTS_MOST = 400

cdef Fact[FACTS_MOST] table
cdef int facts = 0


cdef const Fact* fact_find(const char* name) noexcept nogil:
    cdef int index
    for index in range(facts):
        if strcmp(table[index].name, name) == 0:
            return &table[index]
    return NULL


cdef void fact(const char* name, const char* since, const char* group, const char* flags, const char* categories,
               const char* keys, const char* summary) noexcept nogil:
    global facts
    if facts == FACTS_MOST:
        fprintf(stderr, "quench: FACTS_MOST in storenode/facts.pyx is too small\n")
        abort()
    table[facts] = Fact(name, since, group, flags, categories, keys, summary)
    facts += 1


cdef void fill() noexcept nogil:
    #    name, since, group, flags, categories, keys, summary
    fact(b"acl", b"6.0.0", b"server", b"", b"slow", b"", b"access control commands")
    fact(b"acl|cat", b"6.0.0", b"server", b"loading noscript stale", b"slow", b"",
         b"lists ACL categories, or the commands of one")
    fact(b"acl|deluser", b"6.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"removes users")
    fact(b"acl|dryrun", b"7.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"tells whether a user may run a command")
    fact(b"acl|genpass", b"6.0.0", b"server", b"loading noscript stale", b"slow", b"", b"makes a random password")
    fact(b"acl|getuser", b"6.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"shows one user's rules")
    fact(b"acl|help", b"6.0.0", b"server", b"loading stale", b"slow", b"", b"lists the ACL subcommands")
    fact(b"acl|list", b"6.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"lists all users as rules")
    fact(b"acl|load", b"6.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"reads users from the ACL file")
    fact(b"acl|log", b"6.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"shows or clears refused attempts")
    fact(b"acl|save", b"6.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"writes users to the ACL file")
    fact(b"acl|setuser", b"6.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"creates a user or changes its rules")
    fact(b"acl|users", b"6.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"lists user names")
    fact(b"acl|whoami", b"6.0.0", b"server", b"loading noscript stale", b"slow", b"", b"names the current user")
    fact(b"append", b"2.0.0", b"string", b"denyoom fast write", b"fast string write", b"index:1 range:0,1,0 w",
         b"appends to a string, creating it if missing")
    fact(b"auth", b"1.0.0", b"connection", b"allow_busy fast loading no_auth noscript stale", b"connection fast", b"",
         b"authenticates the connection")
    fact(b"bgrewriteaof", b"1.0.0", b"server", b"admin no_async_loading noscript", b"admin dangerous slow", b"",
         b"rewrites the append-only file in the background")
    fact(b"bgsave", b"1.0.0", b"server", b"admin no_async_loading noscript", b"admin dangerous slow", b"",
         b"saves a snapshot in the background")
    fact(b"bitcount", b"2.6.0", b"bitmap", b"readonly", b"bitmap read slow", b"index:1 range:0,1,0 r",
         b"counts set bits")
    fact(b"bitfield", b"3.2.0", b"bitmap", b"denyoom write", b"bitmap slow write", b"index:1 range:0,1,0 rwv",
         b"reads and writes integers inside a string")
    fact(b"bitfield_ro", b"6.0.0", b"bitmap", b"fast readonly", b"bitmap fast read", b"index:1 range:0,1,0 r",
         b"reads integers inside a string")
    fact(b"bitop", b"2.6.0", b"bitmap", b"denyoom write",
         b"bitmap slow write", b"index:2 range:0,1,0 w; index:3 range:-1,1,0 r",
         b"combines strings bit by bit into a key")
    fact(b"bitpos", b"2.8.7", b"bitmap", b"readonly", b"bitmap read slow", b"index:1 range:0,1,0 r",
         b"finds the first bit that is 0 or 1")
    fact(b"blmove", b"6.2.0", b"list", b"blocking denyoom noscript write",
         b"blocking list slow write", b"index:1 range:0,1,0 rw; index:2 range:0,1,0 w",
         b"moves an element between lists, waiting for one")
    fact(b"blmpop", b"7.0.0", b"list", b"blocking movablekeys write",
         b"blocking list slow write", b"index:2 keynum:0,1,1 rw",
         b"pops elements from the first non-empty list, waiting for one")
    fact(b"blpop", b"2.0.0", b"list", b"blocking noscript write",
         b"blocking list slow write", b"index:1 range:-2,1,0 rw",
         b"pops a head from the first non-empty list, waiting for one")
    fact(b"brpop", b"2.0.0", b"list", b"blocking noscript write",
         b"blocking list slow write", b"index:1 range:-2,1,0 rw",
         b"pops a tail from the first non-empty list, waiting for one")
    fact(b"brpoplpush", b"2.2.0", b"list", b"blocking denyoom noscript write",
         b"blocking list slow write", b"index:1 range:0,1,0 rw; index:2 range:0,1,0 w",
         b"moves a tail to another list's head, waiting for one")
    fact(b"bzmpop", b"7.0.0", b"sorted-set", b"blocking movablekeys write",
         b"blocking slow sortedset write", b"index:2 keynum:0,1,1 rw",
         b"pops members from the first non-empty sorted set, waiting for one")
    fact(b"bzpopmax", b"5.0.0", b"sorted-set", b"blocking fast noscript write",
         b"blocking fast sortedset write", b"index:1 range:-2,1,0 rw", b"pops the highest score, waiting for a member")
    fact(b"bzpopmin", b"5.0.0", b"sorted-set", b"blocking fast noscript write",
         b"blocking fast sortedset write", b"index:1 range:-2,1,0 rw", b"pops the lowest score, waiting for a member")
    fact(b"client", b"2.4.0", b"connection", b"", b"slow", b"", b"connection commands")
    fact(b"client|caching", b"6.0.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"opts the next command in or out of tracking")
    fact(b"client|getname", b"2.6.9", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"shows the connection's name")
    fact(b"client|getredir", b"6.0.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"shows where invalidations are sent")
    fact(b"client|help", b"5.0.0", b"connection", b"loading stale", b"connection slow", b"",
         b"lists the CLIENT subcommands")
    fact(b"client|id", b"5.0.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"shows the connection's id")
    fact(b"client|info", b"6.2.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"describes this connection")
    fact(b"client|kill", b"2.4.0", b"connection", b"admin loading noscript stale",
         b"admin connection dangerous slow", b"", b"closes connections")
    fact(b"client|list", b"2.4.0", b"connection", b"admin loading noscript stale",
         b"admin connection dangerous slow", b"", b"describes all connections")
    fact(b"client|maint_notifications", b"8.0.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"asks for notices of planned maintenance")
    fact(b"client|no-evict", b"7.0.0", b"connection", b"admin loading noscript stale",
         b"admin connection dangerous slow", b"", b"exempts the connection from client eviction")
    fact(b"client|no-touch", b"7.2.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"makes reads leave LRU and LFU alone")
    fact(b"client|pause", b"2.9.50", b"connection", b"admin loading noscript stale",
         b"admin connection dangerous slow", b"", b"suspends commands for a while")
    fact(b"client|reply", b"3.2.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"turns replies on or off")
    fact(b"client|setinfo", b"7.2.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"records the client library's name or version")
    fact(b"client|setname", b"2.6.9", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"names the connection")
    fact(b"client|tracking", b"6.0.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"turns server-assisted caching on or off")
    fact(b"client|trackinginfo", b"6.2.0", b"connection", b"loading noscript stale", b"connection slow", b"",
         b"shows the state of tracking")
    fact(b"client|unblock", b"5.0.0", b"connection", b"admin loading noscript stale",
         b"admin connection dangerous slow", b"", b"ends another connection's wait")
    fact(b"client|unpause", b"6.2.0", b"connection", b"admin loading noscript stale",
         b"admin connection dangerous slow", b"", b"resumes paused commands")
    fact(b"command", b"2.8.13", b"server", b"loading stale", b"connection slow", b"", b"describes all commands")
    fact(b"command|count", b"2.8.13", b"server", b"loading stale", b"connection slow", b"", b"counts the commands")
    fact(b"command|docs", b"7.0.0", b"server", b"loading stale", b"connection slow", b"", b"documents commands")
    fact(b"command|getkeys", b"2.8.13", b"server", b"loading stale", b"connection slow", b"",
         b"extracts the keys of a command line")
    fact(b"command|getkeysandflags", b"7.0.0", b"server", b"loading stale", b"connection slow", b"",
         b"extracts the keys of a command line and their use")
    fact(b"command|help", b"5.0.0", b"server", b"loading stale", b"connection slow", b"",
         b"lists the COMMAND subcommands")
    fact(b"command|info", b"2.8.13", b"server", b"loading stale", b"connection slow", b"", b"describes some commands")
    fact(b"command|list", b"7.0.0", b"server", b"loading stale", b"connection slow", b"", b"lists command names")
    fact(b"config", b"2.0.0", b"server", b"", b"slow", b"", b"settings commands")
    fact(b"config|get", b"2.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"shows settings")
    fact(b"config|help", b"5.0.0", b"server", b"loading stale", b"slow", b"", b"lists the CONFIG subcommands")
    fact(b"config|resetstat", b"2.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"resets the statistics")
    fact(b"config|rewrite", b"2.8.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"writes the settings to the file")
    fact(b"config|set", b"2.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"changes settings")
    fact(b"copy", b"6.2.0", b"generic", b"denyoom write",
         b"keyspace slow write", b"index:1 range:0,1,0 r; index:2 range:0,1,0 w", b"copies a value to another key")
    fact(b"dbsize", b"1.0.0", b"server", b"fast readonly", b"fast keyspace read", b"",
         b"counts the keys of the database")
    fact(b"debug", b"1.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"internals for developers")
    fact(b"decr", b"1.0.0", b"string", b"denyoom fast write", b"fast string write", b"index:1 range:0,1,0 rw",
         b"subtracts one from an integer")
    fact(b"decrby", b"1.0.0", b"string", b"denyoom fast write", b"fast string write", b"index:1 range:0,1,0 rw",
         b"subtracts from an integer")
    fact(b"del", b"1.0.0", b"generic", b"write", b"keyspace slow write", b"index:1 range:-1,1,0 w", b"deletes keys")
    fact(b"discard", b"2.0.0", b"transactions", b"allow_busy fast loading noscript stale", b"fast transaction", b"",
         b"abandons a transaction")
    fact(b"dump", b"2.6.0", b"generic", b"readonly", b"keyspace read slow", b"index:1 range:0,1,0 r",
         b"serializes a value")
    fact(b"echo", b"1.0.0", b"connection", b"fast loading stale", b"connection fast", b"", b"returns its argument")
    fact(b"exec", b"1.2.0", b"transactions", b"loading noscript skip_slowlog stale", b"slow transaction", b"",
         b"runs the queued commands of a transaction")
    fact(b"exists", b"1.0.0", b"generic", b"fast readonly", b"fast keyspace read", b"index:1 range:-1,1,0 n",
         b"counts which of the keys exist")
    fact(b"expire", b"1.0.0", b"generic", b"fast write", b"fast keyspace write", b"index:1 range:0,1,0 w",
         b"sets a time to live in seconds")
    fact(b"expireat", b"1.2.0", b"generic", b"fast write", b"fast keyspace write", b"index:1 range:0,1,0 w",
         b"sets the expiry as a Unix time in seconds")
    fact(b"expiretime", b"7.0.0", b"generic", b"fast readonly", b"fast keyspace read", b"index:1 range:0,1,0 r",
         b"shows the expiry as a Unix time in seconds")
    fact(b"failover", b"6.2.0", b"server", b"admin noscript stale", b"admin dangerous slow", b"",
         b"hands the primary role to a replica")
    fact(b"flushall", b"1.0.0", b"server", b"write", b"dangerous keyspace slow write", b"",
         b"deletes the keys of all databases")
    fact(b"flushdb", b"1.0.0", b"server", b"write", b"dangerous keyspace slow write", b"",
         b"deletes the keys of the database")
    fact(b"geoadd", b"3.2.0", b"geo", b"denyoom write", b"geo slow write", b"index:1 range:0,1,0 w",
         b"adds members at coordinates")
    fact(b"geodist", b"3.2.0", b"geo", b"readonly", b"geo read slow", b"index:1 range:0,1,0 r",
         b"measures the distance of two members")
    fact(b"geohash", b"3.2.0", b"geo", b"readonly", b"geo read slow", b"index:1 range:0,1,0 r",
         b"shows members' geohash strings")
    fact(b"geopos", b"3.2.0", b"geo", b"readonly", b"geo read slow", b"index:1 range:0,1,0 r",
         b"shows members' coordinates")
    fact(b"georadius", b"3.2.0", b"geo", b"denyoom movablekeys write",
         b"geo slow write", b"index:1 range:0,1,0 r; keyword:STORE,6 range:0,1,0 w; keyword:STOREDIST,6 range:0,1,0 w",
         b"finds, and may store, members around a point")
    fact(b"georadius_ro", b"3.2.10", b"geo", b"readonly", b"geo read slow", b"index:1 range:0,1,0 r",
         b"finds members around a point")
    fact(b"georadiusbymember", b"3.2.0", b"geo", b"denyoom movablekeys write",
         b"geo slow write", b"index:1 range:0,1,0 r; keyword:STORE,5 range:0,1,0 w; keyword:STOREDIST,5 range:0,1,0 w",
         b"finds, and may store, members around a member")
    fact(b"georadiusbymember_ro", b"3.2.10", b"geo", b"readonly", b"geo read slow", b"index:1 range:0,1,0 r",
         b"finds members around a member")
    fact(b"geosearch", b"6.2.0", b"geo", b"readonly", b"geo read slow", b"index:1 range:0,1,0 r",
         b"finds members in a circle or box")
    fact(b"geosearchstore", b"6.2.0", b"geo", b"denyoom write",
         b"geo slow write", b"index:1 range:0,1,0 w; index:2 range:0,1,0 r", b"stores the members of a circle or box")
    fact(b"get", b"1.0.0", b"string", b"fast readonly", b"fast read string", b"index:1 range:0,1,0 r",
         b"reads a string")
    fact(b"getbit", b"2.2.0", b"bitmap", b"fast readonly", b"bitmap fast read", b"index:1 range:0,1,0 r",
         b"reads one bit")
    fact(b"getdel", b"6.2.0", b"string", b"fast write", b"fast string write", b"index:1 range:0,1,0 rw",
         b"reads a string and deletes it")
    fact(b"getex", b"6.2.0", b"string", b"fast write", b"fast string write", b"index:1 range:0,1,0 rw",
         b"reads a string and changes its expiry")
    fact(b"getrange", b"2.4.0", b"string", b"readonly", b"read slow string", b"index:1 range:0,1,0 r",
         b"reads a part of a string")
    fact(b"getset", b"1.0.0", b"string", b"denyoom fast write", b"fast string write", b"index:1 range:0,1,0 rw",
         b"writes a string and returns the old one")
    fact(b"hdel", b"2.0.0", b"hash", b"fast write", b"fast hash write", b"index:1 range:0,1,0 w", b"deletes fields")
    fact(b"hello", b"6.0.0", b"connection", b"allow_busy fast loading no_auth noscript stale", b"connection fast", b"",
         b"switches the protocol, authenticates, names the connection")
    fact(b"hexists", b"2.0.0", b"hash", b"fast readonly", b"fast hash read", b"index:1 range:0,1,0 n",
         b"tells whether a field exists")
    fact(b"hexpire", b"7.4.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 w",
         b"sets a time to live of fields in seconds")
    fact(b"hexpireat", b"7.4.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 w",
         b"sets the expiry of fields as a Unix time in seconds")
    fact(b"hexpiretime", b"7.4.0", b"hash", b"fast readonly", b"fast hash read", b"index:1 range:0,1,0 r",
         b"shows the expiry of fields as a Unix time in seconds")
    fact(b"hget", b"2.0.0", b"hash", b"fast readonly", b"fast hash read", b"index:1 range:0,1,0 r", b"reads a field")
    fact(b"hgetall", b"2.0.0", b"hash", b"readonly", b"hash read slow", b"index:1 range:0,1,0 r",
         b"reads all fields and values")
    fact(b"hgetdel", b"8.0.0", b"hash", b"fast write", b"fast hash write", b"index:1 range:0,1,0 rw",
         b"reads fields and deletes them")
    fact(b"hgetex", b"8.0.0", b"hash", b"fast write", b"fast hash write", b"index:1 range:0,1,0 rw",
         b"reads fields and changes their expiry")
    fact(b"hincrby", b"2.0.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 rw",
         b"adds an integer to a field")
    fact(b"hincrbyfloat", b"2.6.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 rw",
         b"adds a float to a field")
    fact(b"hkeys", b"2.0.0", b"hash", b"readonly", b"hash read slow", b"index:1 range:0,1,0 r", b"lists the fields")
    fact(b"hlen", b"2.0.0", b"hash", b"fast readonly", b"fast hash read", b"index:1 range:0,1,0 n",
         b"counts the fields")
    fact(b"hmget", b"2.0.0", b"hash", b"fast readonly", b"fast hash read", b"index:1 range:0,1,0 r",
         b"reads several fields")
    fact(b"hmset", b"2.0.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 w",
         b"writes several fields")
    fact(b"hpersist", b"7.4.0", b"hash", b"fast write", b"fast hash write", b"index:1 range:0,1,0 w",
         b"removes the expiry of fields")
    fact(b"hpexpire", b"7.4.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 w",
         b"sets a time to live of fields in milliseconds")
    fact(b"hpexpireat", b"7.4.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 w",
         b"sets the expiry of fields as a Unix time in milliseconds")
    fact(b"hpexpiretime", b"7.4.0", b"hash", b"fast readonly", b"fast hash read", b"index:1 range:0,1,0 r",
         b"shows the expiry of fields as a Unix time in milliseconds")
    fact(b"hpttl", b"7.4.0", b"hash", b"fast readonly", b"fast hash read", b"index:1 range:0,1,0 r",
         b"shows the time to live of fields in milliseconds")
    fact(b"hrandfield", b"6.2.0", b"hash", b"readonly", b"hash read slow", b"index:1 range:0,1,0 r",
         b"picks fields at random")
    fact(b"hscan", b"2.8.0", b"hash", b"readonly", b"hash read slow", b"index:1 range:0,1,0 r", b"iterates over fields")
    fact(b"hset", b"2.0.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 w",
         b"writes fields")
    fact(b"hsetex", b"8.0.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 w",
         b"writes fields and their expiry")
    fact(b"hsetnx", b"2.0.0", b"hash", b"denyoom fast write", b"fast hash write", b"index:1 range:0,1,0 w",
         b"writes a field unless it exists")
    fact(b"hstrlen", b"3.2.0", b"hash", b"fast readonly", b"fast hash read", b"index:1 range:0,1,0 n",
         b"measures a field's value")
    fact(b"httl", b"7.4.0", b"hash", b"fast readonly", b"fast hash read", b"index:1 range:0,1,0 r",
         b"shows the time to live of fields in seconds")
    fact(b"hvals", b"2.0.0", b"hash", b"readonly", b"hash read slow", b"index:1 range:0,1,0 r", b"lists the values")
    fact(b"incr", b"1.0.0", b"string", b"denyoom fast write", b"fast string write", b"index:1 range:0,1,0 rw",
         b"adds one to an integer")
    fact(b"incrby", b"1.0.0", b"string", b"denyoom fast write", b"fast string write", b"index:1 range:0,1,0 rw",
         b"adds to an integer")
    fact(b"incrbyfloat", b"2.6.0", b"string", b"denyoom fast write", b"fast string write", b"index:1 range:0,1,0 rw",
         b"adds to a float")
    fact(b"info", b"1.0.0", b"server", b"loading stale", b"dangerous slow", b"", b"shows state and statistics")
    fact(b"keys", b"1.0.0", b"generic", b"readonly", b"dangerous keyspace read slow", b"",
         b"lists keys that match a pattern")
    fact(b"lastsave", b"1.0.0", b"server", b"fast loading stale", b"admin dangerous fast", b"",
         b"shows when the last snapshot was saved")
    fact(b"latency", b"2.8.13", b"server", b"", b"slow", b"", b"latency diagnostics")
    fact(b"latency|doctor", b"2.8.13", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"explains latency in prose")
    fact(b"latency|graph", b"2.8.13", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"draws the latency of an event")
    fact(b"latency|help", b"2.8.13", b"server", b"loading stale", b"slow", b"", b"lists the LATENCY subcommands")
    fact(b"latency|histogram", b"7.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"shows latency distributions per command")
    fact(b"latency|history", b"2.8.13", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"shows latency samples of an event")
    fact(b"latency|latest", b"2.8.13", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"shows the latest sample of each event")
    fact(b"latency|reset", b"2.8.13", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"forgets latency samples")
    fact(b"lcs", b"7.0.0", b"string", b"readonly", b"read slow string", b"index:1 range:1,1,0 r",
         b"finds the longest common subsequence")
    fact(b"lindex", b"1.0.0", b"list", b"readonly", b"list read slow", b"index:1 range:0,1,0 r",
         b"reads an element by position")
    fact(b"linsert", b"2.2.0", b"list", b"denyoom write", b"list slow write", b"index:1 range:0,1,0 w",
         b"inserts before or after an element")
    fact(b"llen", b"1.0.0", b"list", b"fast readonly", b"fast list read", b"index:1 range:0,1,0 n",
         b"counts the elements")
    fact(b"lmove", b"6.2.0", b"list", b"denyoom write",
         b"list slow write", b"index:1 range:0,1,0 rw; index:2 range:0,1,0 w", b"moves an element between lists")
    fact(b"lmpop", b"7.0.0", b"list", b"movablekeys write", b"list slow write", b"index:1 keynum:0,1,1 rw",
         b"pops elements from the first non-empty list")
    fact(b"lolwut", b"5.0.0", b"server", b"fast readonly", b"fast read", b"", b"shows a picture and the version")
    fact(b"lpop", b"1.0.0", b"list", b"fast write", b"fast list write", b"index:1 range:0,1,0 rw",
         b"pops from the head")
    fact(b"lpos", b"6.0.6", b"list", b"readonly", b"list read slow", b"index:1 range:0,1,0 r",
         b"finds the position of an element")
    fact(b"lpush", b"1.0.0", b"list", b"denyoom fast write", b"fast list write", b"index:1 range:0,1,0 w",
         b"pushes at the head")
    fact(b"lpushx", b"2.2.0", b"list", b"denyoom fast write", b"fast list write", b"index:1 range:0,1,0 w",
         b"pushes at the head if the list exists")
    fact(b"lrange", b"1.0.0", b"list", b"readonly", b"list read slow", b"index:1 range:0,1,0 r",
         b"reads a range of elements")
    fact(b"lrem", b"1.0.0", b"list", b"write", b"list slow write", b"index:1 range:0,1,0 w", b"removes equal elements")
    fact(b"lset", b"1.0.0", b"list", b"denyoom write", b"list slow write", b"index:1 range:0,1,0 w",
         b"writes an element by position")
    fact(b"ltrim", b"1.0.0", b"list", b"write", b"list slow write", b"index:1 range:0,1,0 w",
         b"keeps a range of elements")
    fact(b"memory", b"4.0.0", b"server", b"", b"slow", b"", b"memory diagnostics")
    fact(b"memory|doctor", b"4.0.0", b"server", b"", b"slow", b"", b"explains memory use in prose")
    fact(b"memory|help", b"4.0.0", b"server", b"loading stale", b"slow", b"", b"lists the MEMORY subcommands")
    fact(b"memory|malloc-stats", b"4.0.0", b"server", b"", b"slow", b"", b"shows the allocator's statistics")
    fact(b"memory|purge", b"4.0.0", b"server", b"", b"slow", b"", b"returns free pages to the system")
    fact(b"memory|stats", b"4.0.0", b"server", b"", b"slow", b"", b"breaks memory use down")
    fact(b"memory|usage", b"4.0.0", b"server", b"readonly", b"read slow", b"index:2 range:0,1,0 n",
         b"estimates the memory of a key")
    fact(b"mget", b"1.0.0", b"string", b"fast readonly", b"fast read string", b"index:1 range:-1,1,0 r",
         b"reads several strings")
    fact(b"monitor", b"1.0.0", b"server", b"admin loading noscript stale", b"admin dangerous slow", b"",
         b"streams every command the server runs")
    fact(b"move", b"1.0.0", b"generic", b"fast write", b"fast keyspace write", b"index:1 range:0,1,0 rw",
         b"moves a key to another database")
    fact(b"mset", b"1.0.1", b"string", b"denyoom write", b"slow string write", b"index:1 range:-1,2,0 w",
         b"writes several strings")
    fact(b"msetnx", b"1.0.1", b"string", b"denyoom write", b"slow string write", b"index:1 range:-1,2,0 w",
         b"writes several strings if none of the keys exists")
    fact(b"multi", b"1.2.0", b"transactions", b"allow_busy fast loading noscript stale", b"fast transaction", b"",
         b"begins a transaction")
    fact(b"object", b"2.2.3", b"generic", b"", b"slow", b"", b"value internals")
    fact(b"object|encoding", b"2.2.3", b"generic", b"readonly", b"keyspace read slow", b"index:2 range:0,1,0 n",
         b"shows how a value is stored")
    fact(b"object|freq", b"4.0.0", b"generic", b"readonly", b"keyspace read slow", b"index:2 range:0,1,0 n",
         b"shows how often a key is used")
    fact(b"object|help", b"6.2.0", b"generic", b"loading stale", b"keyspace slow", b"", b"lists the OBJECT subcommands")
    fact(b"object|idletime", b"2.2.3", b"generic", b"readonly", b"keyspace read slow", b"index:2 range:0,1,0 n",
         b"shows how long a key was not used")
    fact(b"object|refcount", b"2.2.3", b"generic", b"readonly", b"keyspace read slow", b"index:2 range:0,1,0 n",
         b"counts references to a value")
    fact(b"persist", b"2.2.0", b"generic", b"fast write", b"fast keyspace write", b"index:1 range:0,1,0 w",
         b"removes the expiry")
    fact(b"pexpire", b"2.6.0", b"generic", b"fast write", b"fast keyspace write", b"index:1 range:0,1,0 w",
         b"sets a time to live in milliseconds")
    fact(b"pexpireat", b"2.6.0", b"generic", b"fast write", b"fast keyspace write", b"index:1 range:0,1,0 w",
         b"sets the expiry as a Unix time in milliseconds")
    fact(b"pexpiretime", b"7.0.0", b"generic", b"fast readonly", b"fast keyspace read", b"index:1 range:0,1,0 r",
         b"shows the expiry as a Unix time in milliseconds")
    fact(b"pfadd", b"2.8.9", b"hyperloglog", b"denyoom fast write", b"fast hyperloglog write", b"index:1 range:0,1,0 w",
         b"adds elements to a HyperLogLog")
    fact(b"pfcount", b"2.8.9", b"hyperloglog", b"readonly", b"hyperloglog read slow", b"index:1 range:-1,1,0 r",
         b"estimates the number of distinct elements")
    fact(b"pfmerge", b"2.8.9", b"hyperloglog", b"denyoom write",
         b"hyperloglog slow write", b"index:1 range:0,1,0 rw; index:2 range:-1,1,0 r",
         b"merges HyperLogLogs into a key")
    fact(b"ping", b"1.0.0", b"connection", b"fast", b"connection fast", b"", b"answers PONG")
    fact(b"psetex", b"2.6.0", b"string", b"denyoom write", b"slow string write", b"index:1 range:0,1,0 w",
         b"writes a string with a time to live in milliseconds")
    fact(b"psubscribe", b"2.0.0", b"pubsub", b"loading noscript pubsub stale", b"pubsub slow", b"",
         b"subscribes to patterns")
    fact(b"psync", b"2.8.0", b"server", b"admin no_async_loading no_multi noscript", b"admin dangerous slow", b"",
         b"starts replication, resuming if possible")
    fact(b"pttl", b"2.6.0", b"generic", b"fast readonly", b"fast keyspace read", b"index:1 range:0,1,0 r",
         b"shows the time to live in milliseconds")
    fact(b"publish", b"2.0.0", b"pubsub", b"fast loading pubsub stale", b"fast pubsub", b"",
         b"sends a message to a channel")
    fact(b"pubsub", b"2.8.0", b"pubsub", b"", b"slow", b"", b"pub/sub diagnostics")
    fact(b"pubsub|channels", b"2.8.0", b"pubsub", b"loading pubsub stale", b"pubsub slow", b"",
         b"lists active channels")
    fact(b"pubsub|help", b"6.2.0", b"pubsub", b"loading stale", b"slow", b"", b"lists the PUBSUB subcommands")
    fact(b"pubsub|numpat", b"2.8.0", b"pubsub", b"loading pubsub stale", b"pubsub slow", b"",
         b"counts subscribed patterns")
    fact(b"pubsub|numsub", b"2.8.0", b"pubsub", b"loading pubsub stale", b"pubsub slow", b"",
         b"counts subscribers of channels")
    fact(b"pubsub|shardchannels", b"7.0.0", b"pubsub", b"loading pubsub stale", b"pubsub slow", b"",
         b"lists active shard channels")
    fact(b"pubsub|shardnumsub", b"7.0.0", b"pubsub", b"loading pubsub stale", b"pubsub slow", b"",
         b"counts subscribers of shard channels")
    fact(b"punsubscribe", b"2.0.0", b"pubsub", b"loading noscript pubsub stale", b"pubsub slow", b"",
         b"leaves patterns")
    fact(b"quit", b"1.0.0", b"connection", b"allow_busy fast loading no_auth noscript stale", b"connection fast", b"",
         b"closes the connection")
    fact(b"randomkey", b"1.0.0", b"generic", b"readonly", b"keyspace read slow", b"", b"picks a key at random")
    fact(b"rename", b"1.0.0", b"generic", b"write",
         b"keyspace slow write", b"index:1 range:0,1,0 rw; index:2 range:0,1,0 w",
         b"renames a key, replacing the target")
    fact(b"renamenx", b"1.0.0", b"generic", b"fast write",
         b"fast keyspace write", b"index:1 range:0,1,0 rw; index:2 range:0,1,0 w",
         b"renames a key unless the target exists")
    fact(b"replconf", b"3.0.0", b"server", b"admin allow_busy loading noscript stale", b"admin dangerous slow", b"",
         b"talks between replicas and primaries")
    fact(b"replicaof", b"5.0.0", b"server", b"admin no_async_loading noscript stale", b"admin dangerous slow", b"",
         b"follows or leaves a primary")
    fact(b"reset", b"6.2.0", b"connection", b"allow_busy fast loading no_auth noscript stale", b"connection fast", b"",
         b"returns the connection to its initial state")
    fact(b"restore", b"2.6.0", b"generic", b"denyoom write", b"dangerous keyspace slow write", b"index:1 range:0,1,0 w",
         b"creates a key from a serialized value")
    fact(b"role", b"2.8.12", b"server", b"fast loading noscript stale", b"admin dangerous fast", b"",
         b"shows the replication role")
    fact(b"rpop", b"1.0.0", b"list", b"fast write", b"fast list write", b"index:1 range:0,1,0 rw",
         b"pops from the tail")
    fact(b"rpoplpush", b"1.2.0", b"list", b"denyoom write",
         b"list slow write", b"index:1 range:0,1,0 rw; index:2 range:0,1,0 w", b"moves a tail to another list's head")
    fact(b"rpush", b"1.0.0", b"list", b"denyoom fast write", b"fast list write", b"index:1 range:0,1,0 w",
         b"pushes at the tail")
    fact(b"rpushx", b"2.2.0", b"list", b"denyoom fast write", b"fast list write", b"index:1 range:0,1,0 w",
         b"pushes at the tail if the list exists")
    fact(b"sadd", b"1.0.0", b"set", b"denyoom fast write", b"fast set write", b"index:1 range:0,1,0 w", b"adds members")
    fact(b"save", b"1.0.0", b"server", b"admin no_async_loading no_multi noscript", b"admin dangerous slow", b"",
         b"saves a snapshot and blocks meanwhile")
    fact(b"scan", b"2.8.0", b"generic", b"readonly", b"keyspace read slow", b"", b"iterates over keys")
    fact(b"scard", b"1.0.0", b"set", b"fast readonly", b"fast read set", b"index:1 range:0,1,0 n",
         b"counts the members")
    fact(b"sdiff", b"1.0.0", b"set", b"readonly", b"read set slow", b"index:1 range:-1,1,0 r", b"subtracts sets")
    fact(b"sdiffstore", b"1.0.0", b"set", b"denyoom write",
         b"set slow write", b"index:1 range:0,1,0 w; index:2 range:-1,1,0 r", b"subtracts sets into a key")
    fact(b"select", b"1.0.0", b"connection", b"fast loading stale", b"connection fast", b"", b"changes the database")
    fact(b"set", b"1.0.0", b"string", b"denyoom write", b"slow string write", b"index:1 range:0,1,0 rwv",
         b"writes a string, with conditions and expiry")
    fact(b"setbit", b"2.2.0", b"bitmap", b"denyoom write", b"bitmap slow write", b"index:1 range:0,1,0 rw",
         b"writes one bit")
    fact(b"setex", b"2.0.0", b"string", b"denyoom write", b"slow string write", b"index:1 range:0,1,0 w",
         b"writes a string with a time to live in seconds")
    fact(b"setnx", b"1.0.0", b"string", b"denyoom fast write", b"fast string write", b"index:1 range:0,1,0 w",
         b"writes a string unless the key exists")
    fact(b"setrange", b"2.2.0", b"string", b"denyoom write", b"slow string write", b"index:1 range:0,1,0 w",
         b"overwrites a part of a string")
    fact(b"shutdown", b"1.0.0", b"server", b"admin allow_busy loading no_multi noscript stale",
         b"admin dangerous slow", b"", b"stops the server")
    fact(b"sinter", b"1.0.0", b"set", b"readonly", b"read set slow", b"index:1 range:-1,1,0 r", b"intersects sets")
    fact(b"sintercard", b"7.0.0", b"set", b"movablekeys readonly", b"read set slow", b"index:1 keynum:0,1,1 r",
         b"counts the members common to sets")
    fact(b"sinterstore", b"1.0.0", b"set", b"denyoom write",
         b"set slow write", b"index:1 range:0,1,0 w; index:2 range:-1,1,0 r", b"intersects sets into a key")
    fact(b"sismember", b"1.0.0", b"set", b"fast readonly", b"fast read set", b"index:1 range:0,1,0 n",
         b"tells whether a member exists")
    fact(b"slaveof", b"1.0.0", b"server", b"admin no_async_loading noscript stale", b"admin dangerous slow", b"",
         b"follows or leaves a primary")
    fact(b"slowlog", b"2.2.12", b"server", b"", b"slow", b"", b"slow request log commands")
    fact(b"slowlog|get", b"2.2.12", b"server", b"admin loading stale", b"admin dangerous slow", b"",
         b"shows slow requests")
    fact(b"slowlog|help", b"6.2.0", b"server", b"loading stale", b"slow", b"", b"lists the SLOWLOG subcommands")
    fact(b"slowlog|len", b"2.2.12", b"server", b"admin loading stale", b"admin dangerous slow", b"",
         b"counts slow requests")
    fact(b"slowlog|reset", b"2.2.12", b"server", b"admin loading stale", b"admin dangerous slow", b"",
         b"empties the slow request log")
    fact(b"smembers", b"1.0.0", b"set", b"readonly", b"read set slow", b"index:1 range:0,1,0 r", b"lists the members")
    fact(b"smismember", b"6.2.0", b"set", b"fast readonly", b"fast read set", b"index:1 range:0,1,0 r",
         b"tells which members exist")
    fact(b"smove", b"1.0.0", b"set", b"fast write", b"fast set write", b"index:1 range:0,1,0 rw; index:2 range:0,1,0 w",
         b"moves a member between sets")
    fact(b"sort", b"1.0.0", b"generic", b"denyoom movablekeys write",
         b"dangerous list set slow sortedset write", b"index:1 range:0,1,0 r; option:STORE,2 range:0,1,0 w",
         b"sorts, and may store, a collection's elements")
    fact(b"sort_ro", b"7.0.0", b"generic", b"movablekeys readonly",
         b"dangerous list read set slow sortedset", b"index:1 range:0,1,0 r", b"sorts a collection's elements")
    fact(b"spop", b"1.0.0", b"set", b"fast write", b"fast set write", b"index:1 range:0,1,0 rw",
         b"removes members at random")
    fact(b"spublish", b"7.0.0", b"pubsub", b"fast loading pubsub stale", b"fast pubsub", b"",
         b"sends a message to a shard channel")
    fact(b"srandmember", b"1.0.0", b"set", b"readonly", b"read set slow", b"index:1 range:0,1,0 r",
         b"picks members at random")
    fact(b"srem", b"1.0.0", b"set", b"fast write", b"fast set write", b"index:1 range:0,1,0 w", b"removes members")
    fact(b"sscan", b"2.8.0", b"set", b"readonly", b"read set slow", b"index:1 range:0,1,0 r", b"iterates over members")
    fact(b"ssubscribe", b"7.0.0", b"pubsub", b"loading noscript pubsub stale", b"pubsub slow", b"",
         b"subscribes to shard channels")
    fact(b"strlen", b"2.2.0", b"string", b"fast readonly", b"fast read string", b"index:1 range:0,1,0 n",
         b"measures a string")
    fact(b"subscribe", b"2.0.0", b"pubsub", b"loading noscript pubsub stale", b"pubsub slow", b"",
         b"subscribes to channels")
    fact(b"substr", b"1.0.0", b"string", b"readonly", b"read slow string", b"index:1 range:0,1,0 r",
         b"reads a part of a string")
    fact(b"sunion", b"1.0.0", b"set", b"readonly", b"read set slow", b"index:1 range:-1,1,0 r", b"unites sets")
    fact(b"sunionstore", b"1.0.0", b"set", b"denyoom write",
         b"set slow write", b"index:1 range:0,1,0 w; index:2 range:-1,1,0 r", b"unites sets into a key")
    fact(b"sunsubscribe", b"7.0.0", b"pubsub", b"loading noscript pubsub stale", b"pubsub slow", b"",
         b"leaves shard channels")
    fact(b"swapdb", b"4.0.0", b"server", b"fast write", b"dangerous fast keyspace write", b"",
         b"exchanges two databases")
    fact(b"sync", b"1.0.0", b"server", b"admin no_async_loading no_multi noscript", b"admin dangerous slow", b"",
         b"starts replication")
    fact(b"time", b"2.6.0", b"server", b"fast loading stale", b"fast", b"", b"shows the server's clock")
    fact(b"touch", b"3.2.1", b"generic", b"fast readonly", b"fast keyspace read", b"index:1 range:-1,1,0 n",
         b"marks keys as used")
    fact(b"ttl", b"1.0.0", b"generic", b"fast readonly", b"fast keyspace read", b"index:1 range:0,1,0 r",
         b"shows the time to live in seconds")
    fact(b"type", b"1.0.0", b"generic", b"fast readonly", b"fast keyspace read", b"index:1 range:0,1,0 n",
         b"shows the type of a value")
    fact(b"unlink", b"4.0.0", b"generic", b"fast write", b"fast keyspace write", b"index:1 range:-1,1,0 w",
         b"deletes keys and frees them in the background")
    fact(b"unsubscribe", b"2.0.0", b"pubsub", b"loading noscript pubsub stale", b"pubsub slow", b"", b"leaves channels")
    fact(b"unwatch", b"2.2.0", b"transactions", b"allow_busy fast loading noscript stale", b"fast transaction", b"",
         b"forgets watched keys")
    fact(b"wait", b"3.0.0", b"generic", b"noscript", b"connection slow", b"", b"waits until replicas have the writes")
    fact(b"waitaof", b"7.2.0", b"generic", b"blocking", b"blocking connection slow", b"",
         b"waits until append-only files have the writes")
    fact(b"watch", b"2.2.0", b"transactions", b"allow_busy fast loading noscript stale",
         b"fast transaction", b"index:1 range:-1,1,0 n", b"makes the next transaction conditional on keys")
    fact(b"zadd", b"1.2.0", b"sorted-set", b"denyoom fast write", b"fast sortedset write", b"index:1 range:0,1,0 w",
         b"adds members or updates scores")
    fact(b"zcard", b"1.2.0", b"sorted-set", b"fast readonly", b"fast read sortedset", b"index:1 range:0,1,0 n",
         b"counts the members")
    fact(b"zcount", b"2.0.0", b"sorted-set", b"fast readonly", b"fast read sortedset", b"index:1 range:0,1,0 r",
         b"counts members by score")
    fact(b"zdiff", b"6.2.0", b"sorted-set", b"movablekeys readonly", b"read slow sortedset", b"index:1 keynum:0,1,1 r",
         b"subtracts sorted sets")
    fact(b"zdiffstore", b"6.2.0", b"sorted-set", b"denyoom movablekeys write",
         b"slow sortedset write", b"index:1 range:0,1,0 w; index:2 keynum:0,1,1 r", b"subtracts sorted sets into a key")
    fact(b"zincrby", b"1.2.0", b"sorted-set", b"denyoom fast write", b"fast sortedset write", b"index:1 range:0,1,0 rw",
         b"adds to a member's score")
    fact(b"zinter", b"6.2.0", b"sorted-set", b"movablekeys readonly", b"read slow sortedset", b"index:1 keynum:0,1,1 r",
         b"intersects sorted sets")
    fact(b"zintercard", b"7.0.0", b"sorted-set", b"movablekeys readonly",
         b"read slow sortedset", b"index:1 keynum:0,1,1 r", b"counts the members common to sorted sets")
    fact(b"zinterstore", b"2.0.0", b"sorted-set", b"denyoom movablekeys write",
         b"slow sortedset write", b"index:1 range:0,1,0 w; index:2 keynum:0,1,1 r",
         b"intersects sorted sets into a key")
    fact(b"zlexcount", b"2.8.9", b"sorted-set", b"fast readonly", b"fast read sortedset", b"index:1 range:0,1,0 r",
         b"counts members by name")
    fact(b"zmpop", b"7.0.0", b"sorted-set", b"movablekeys write", b"slow sortedset write", b"index:1 keynum:0,1,1 rw",
         b"pops members from the first non-empty sorted set")
    fact(b"zmscore", b"6.2.0", b"sorted-set", b"fast readonly", b"fast read sortedset", b"index:1 range:0,1,0 r",
         b"reads several scores")
    fact(b"zpopmax", b"5.0.0", b"sorted-set", b"fast write", b"fast sortedset write", b"index:1 range:0,1,0 rw",
         b"pops the highest scores")
    fact(b"zpopmin", b"5.0.0", b"sorted-set", b"fast write", b"fast sortedset write", b"index:1 range:0,1,0 rw",
         b"pops the lowest scores")
    fact(b"zrandmember", b"6.2.0", b"sorted-set", b"readonly", b"read slow sortedset", b"index:1 range:0,1,0 r",
         b"picks members at random")
    fact(b"zrange", b"1.2.0", b"sorted-set", b"readonly", b"read slow sortedset", b"index:1 range:0,1,0 r",
         b"reads members by rank, score or name")
    fact(b"zrangebylex", b"2.8.9", b"sorted-set", b"readonly", b"read slow sortedset", b"index:1 range:0,1,0 r",
         b"reads members by name")
    fact(b"zrangebyscore", b"1.0.5", b"sorted-set", b"readonly", b"read slow sortedset", b"index:1 range:0,1,0 r",
         b"reads members by score")
    fact(b"zrangestore", b"6.2.0", b"sorted-set", b"denyoom write",
         b"slow sortedset write", b"index:1 range:0,1,0 w; index:2 range:0,1,0 r",
         b"stores members by rank, score or name")
    fact(b"zrank", b"2.0.0", b"sorted-set", b"fast readonly", b"fast read sortedset", b"index:1 range:0,1,0 r",
         b"shows a member's rank, lowest first")
    fact(b"zrem", b"1.2.0", b"sorted-set", b"fast write", b"fast sortedset write", b"index:1 range:0,1,0 w",
         b"removes members")
    fact(b"zremrangebylex", b"2.8.9", b"sorted-set", b"write", b"slow sortedset write", b"index:1 range:0,1,0 w",
         b"removes members by name")
    fact(b"zremrangebyrank", b"2.0.0", b"sorted-set", b"write", b"slow sortedset write", b"index:1 range:0,1,0 w",
         b"removes members by rank")
    fact(b"zremrangebyscore", b"1.2.0", b"sorted-set", b"write", b"slow sortedset write", b"index:1 range:0,1,0 w",
         b"removes members by score")
    fact(b"zrevrange", b"1.2.0", b"sorted-set", b"readonly", b"read slow sortedset", b"index:1 range:0,1,0 r",
         b"reads members by rank, highest first")
    fact(b"zrevrangebylex", b"2.8.9", b"sorted-set", b"readonly", b"read slow sortedset", b"index:1 range:0,1,0 r",
         b"reads members by name, backwards")
    fact(b"zrevrangebyscore", b"2.2.0", b"sorted-set", b"readonly", b"read slow sortedset", b"index:1 range:0,1,0 r",
         b"reads members by score, highest first")
    fact(b"zrevrank", b"2.0.0", b"sorted-set", b"fast readonly", b"fast read sortedset", b"index:1 range:0,1,0 r",
         b"shows a member's rank, highest first")
    fact(b"zscan", b"2.8.0", b"sorted-set", b"readonly", b"read slow sortedset", b"index:1 range:0,1,0 r",
         b"iterates over members")
    fact(b"zscore", b"1.2.0", b"sorted-set", b"fast readonly", b"fast read sortedset", b"index:1 range:0,1,0 r",
         b"reads a score")
    fact(b"zunion", b"6.2.0", b"sorted-set", b"movablekeys readonly", b"read slow sortedset", b"index:1 keynum:0,1,1 r",
         b"unites sorted sets")
    fact(b"zunionstore", b"2.0.0", b"sorted-set", b"denyoom movablekeys write",
         b"slow sortedset write", b"index:1 range:0,1,0 w; index:2 keynum:0,1,1 r", b"unites sorted sets into a key")


fill()
