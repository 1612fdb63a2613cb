# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Commands: one row each, with its arity, flags, key positions and handler.

Arity counts the name; negative means "at least". A container's rows follow it, named as INFO commandstats shows them.
"""

from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort
from libc.string cimport strlen

from storenode.acl cimport (
    command_acl_cat, command_acl_deluser, command_acl_dryrun, command_acl_genpass, command_acl_getuser,
    command_acl_list, command_acl_log, command_acl_setuser, command_acl_users, command_acl_whoami,
)
from storenode.aclfile cimport command_acl_load, command_acl_save
from storenode.acks cimport command_wait, command_waitaof
from storenode.bitfield cimport command_bitfield, command_bitfield_ro
from storenode.bits cimport command_bitcount, command_bitop, command_bitpos, command_getbit, command_setbit
from storenode.blocking cimport (
    command_blmove, command_blmpop, command_blpop, command_brpop, command_brpoplpush, command_bzmpop, command_bzpopmax,
    command_bzpopmin, command_client_unblock,
)
from storenode.catalog cimport catalog_open
from storenode.config cimport (
    command_config_get, command_config_resetstat, command_config_rewrite, command_config_set,
)
from storenode.dump cimport command_dump, command_restore
from storenode.geo cimport (
    command_geoadd, command_geodist, command_geohash, command_geopos, command_georadius, command_georadius_ro,
    command_georadiusbymember, command_georadiusbymember_ro, command_geosearch, command_geosearchstore,
)
from storenode.guards cimport command_delex, command_digest
from storenode.hashes cimport (
    command_hdel, command_hexists, command_hget, command_hgetall, command_hincrby, command_hincrbyfloat, command_hkeys,
    command_hlen, command_hmget, command_hmset, command_hrandfield, command_hset, command_hsetnx, command_hstrlen,
    command_hvals,
)
from storenode.hyperloglog cimport command_pfadd, command_pfcount, command_pfmerge
from storenode.info cimport command_info
from storenode.keys cimport (
    command_copy, command_dbsize, command_del, command_exists, command_expire, command_expireat, command_expiretime,
    command_flushall, command_flushdb, command_move, command_persist, command_pexpire, command_pexpireat,
    command_pexpiretime, command_pttl, command_rename, command_renamenx, command_swapdb, command_touch, command_ttl,
    command_unlink,
)
from storenode.latency cimport (
    command_latency_doctor, command_latency_graph, command_latency_histogram, command_latency_history,
    command_latency_latest, command_latency_reset,
)
from storenode.lcs cimport command_lcs
from storenode.lists cimport (
    command_lindex, command_linsert, command_llen, command_lmove, command_lmpop, command_lpop, command_lpos,
    command_lpush, command_lpushx, command_lrange, command_lrem, command_lset, command_ltrim, command_rpop,
    command_rpoplpush, command_rpush, command_rpushx,
)
from storenode.manual cimport (
    command_command, command_command_count, command_command_docs, command_command_getkeys, command_command_info,
    command_command_list, command_help, command_lolwut,
)
from storenode.memory cimport (
    command_memory_doctor, command_memory_malloc_stats, command_memory_purge, command_memory_stats,
)
from storenode.object cimport (
    command_debug_object, command_debug_set_active_expire, command_debug_sleep, command_memory_usage,
    command_object_encoding, command_object_freq, command_object_idletime, command_object_refcount, command_type,
)
from storenode.monitor cimport command_monitor
from storenode.pause cimport command_client_pause, command_client_reply, command_client_unpause
from storenode.persistence cimport (
    command_bgrewriteaof, command_bgsave, command_debug_loadaof, command_debug_reload, command_lastsave, command_save,
    command_shutdown,
)
from storenode.replicaof cimport command_replicaof, command_role
from storenode.replicas cimport command_psync, command_replconf, command_sync
from storenode.names cimport names_index
from storenode.pubsub cimport (
    command_psubscribe, command_publish, command_pubsub_channels, command_pubsub_numpat, command_pubsub_numsub,
    command_pubsub_shardchannels, command_pubsub_shardnumsub, command_punsubscribe, command_spublish,
    command_ssubscribe, command_subscribe, command_sunsubscribe, command_unsubscribe,
)
from storenode.scan cimport (
    command_hscan, command_keys, command_randomkey, command_scan, command_sscan, command_zscan,
)
from storenode.session cimport (
    command_auth, command_client_getname, command_client_id, command_client_info, command_client_kill,
    command_client_list, command_client_no_evict, command_client_no_touch, command_client_setinfo,
    command_client_setname, command_echo, command_hello, command_ping, command_quit, command_reset, command_select,
    command_time,
)
from storenode.setalgebra cimport (
    command_sdiff, command_sdiffstore, command_sinter, command_sintercard, command_sinterstore, command_sunion,
    command_sunionstore,
)
from storenode.sets cimport (
    command_sadd, command_scard, command_sismember, command_smembers, command_smismember, command_smove, command_spop,
    command_srandmember, command_srem,
)
from storenode.slowlog cimport command_slowlog_get, command_slowlog_len, command_slowlog_reset
from storenode.sort cimport command_sort, command_sort_ro
from storenode.strings cimport (
    command_append, command_decr, command_decrby, command_get, command_getdel, command_getex, command_getrange,
    command_getset, command_incr, command_incrby, command_incrbyfloat, command_mget, command_mset, command_msetnx,
    command_psetex, command_set, command_setex, command_setnx, command_setrange, command_strlen,
)
from storenode.tracking cimport (
    command_client_caching, command_client_getredir, command_client_tracking, command_client_trackinginfo,
)
from storenode.transaction cimport command_discard, command_exec, command_multi
from storenode.types cimport (
    ADMIN, AT_ONCE, BLOCKING, CONTAINER, DATASET, DENYOOM, FAST, NO_AUTH, NUMKEYS, READONLY, ROWS_MOST,
    WHILE_SUBSCRIBED, WRITE, Handler, Node, Row,
)
from storenode.watch cimport command_unwatch, command_watch
from storenode.zalgebra cimport (
    command_zdiff, command_zdiffstore, command_zinter, command_zintercard, command_zinterstore, command_zunion,
    command_zunionstore,
)
from storenode.zranges cimport (
    command_zcount, command_zlexcount, command_zrange, command_zrangebylex, command_zrangebyscore, command_zrangestore,
    command_zremrangebylex, command_zremrangebyrank, command_zremrangebyscore, command_zrevrange,
    command_zrevrangebylex, command_zrevrangebyscore,
)
from storenode.zsets cimport (
    command_zadd, command_zcard, command_zincrby, command_zmpop, command_zmscore, command_zpopmax, command_zpopmin,
    command_zrandmember, command_zrank, command_zrem, command_zrevrank, command_zscore,
)


cdef enum:
    WDF = WRITE | DENYOOM | FAST
    WF = WRITE | FAST
    WD = WRITE | DENYOOM
    RF = READONLY | FAST
    RK = READONLY | NUMKEYS
    NF = NO_AUTH | FAST
    AF = AT_ONCE | FAST
    BW = BLOCKING | WRITE
    BWD = BLOCKING | WRITE | DENYOOM
    BWF = BLOCKING | WRITE | FAST


cdef void add(Node* node, const char* name, int arity, int flags, int first, int last, int step,
              Handler handler) noexcept nogil:
    cdef Row* row = &node.rows[node.row_count]
    if node.row_count == ROWS_MOST:
        fprintf(stderr, "quench: ROWS_MOST in storenode/types.pxd is too small for the command table\n")
        abort()
    row.name = name
    row.name_length = <int> strlen(name)
    row.called = name
    row.called_length = row.name_length
    row.arity = arity
    row.flags = flags
    row.first = first
    row.last = last
    row.step = step
    row.handler = handler
    row.parent = -1
    node.row_count += 1


cdef void commands_open(Node* node) noexcept nogil:
    node.row_count = 0
    #         name               arity flags       keys       handler
    add(node, b"get",               2, RF,         1, 1, 1,   command_get)
    add(node, b"set",              -3, WDF,        1, 1, 1,   command_set)
    add(node, b"delex",            -2, WF,         1, 1, 1,   command_delex)
    add(node, b"digest",            2, RF,         1, 1, 1,   command_digest)
    add(node, b"setnx",             3, WDF,        1, 1, 1,   command_setnx)
    add(node, b"setex",             4, WDF,        1, 1, 1,   command_setex)
    add(node, b"psetex",            4, WDF,        1, 1, 1,   command_psetex)
    add(node, b"getset",            3, WDF,        1, 1, 1,   command_getset)
    add(node, b"getdel",            2, WF,         1, 1, 1,   command_getdel)
    add(node, b"getex",            -2, WF,         1, 1, 1,   command_getex)
    add(node, b"mget",             -2, READONLY,   1, -1, 1,  command_mget)
    add(node, b"mset",             -3, WD, 1, -1, 2,  command_mset)
    add(node, b"msetnx",           -3, WD, 1, -1, 2,  command_msetnx)
    add(node, b"append",            3, WDF,        1, 1, 1,   command_append)
    add(node, b"strlen",            2, RF,         1, 1, 1,   command_strlen)
    add(node, b"getrange",          4, READONLY,   1, 1, 1,   command_getrange)
    add(node, b"substr",            4, READONLY,   1, 1, 1,   command_getrange)
    add(node, b"setrange",          4, WD, 1, 1, 1,   command_setrange)
    add(node, b"incr",              2, WDF,        1, 1, 1,   command_incr)
    add(node, b"decr",              2, WDF,        1, 1, 1,   command_decr)
    add(node, b"incrby",            3, WDF,        1, 1, 1,   command_incrby)
    add(node, b"decrby",            3, WDF,        1, 1, 1,   command_decrby)
    add(node, b"incrbyfloat",       3, WDF,        1, 1, 1,   command_incrbyfloat)
    add(node, b"setbit",            4, WD, 1, 1, 1,   command_setbit)
    add(node, b"getbit",            3, RF,         1, 1, 1,   command_getbit)
    add(node, b"bitcount",         -2, READONLY,   1, 1, 1,   command_bitcount)

    add(node, b"hset",             -4, WDF,        1, 1, 1,   command_hset)
    add(node, b"hmset",            -4, WDF,        1, 1, 1,   command_hmset)
    add(node, b"hsetnx",            4, WDF,        1, 1, 1,   command_hsetnx)
    add(node, b"hget",              3, RF,         1, 1, 1,   command_hget)
    add(node, b"hmget",            -3, RF,         1, 1, 1,   command_hmget)
    add(node, b"hdel",             -3, WF,         1, 1, 1,   command_hdel)
    add(node, b"hlen",              2, RF,         1, 1, 1,   command_hlen)
    add(node, b"hstrlen",           3, RF,         1, 1, 1,   command_hstrlen)
    add(node, b"hincrby",           4, WDF,        1, 1, 1,   command_hincrby)
    add(node, b"hincrbyfloat",      4, WDF,        1, 1, 1,   command_hincrbyfloat)
    add(node, b"hkeys",             2, READONLY,   1, 1, 1,   command_hkeys)
    add(node, b"hvals",             2, READONLY,   1, 1, 1,   command_hvals)
    add(node, b"hgetall",           2, READONLY,   1, 1, 1,   command_hgetall)
    add(node, b"hexists",           3, RF,         1, 1, 1,   command_hexists)
    add(node, b"hrandfield",       -2, READONLY,   1, 1, 1,   command_hrandfield)
    add(node, b"hscan",            -3, READONLY,   1, 1, 1,   command_hscan)

    add(node, b"lpush",            -3, WDF,        1, 1, 1,   command_lpush)
    add(node, b"rpush",            -3, WDF,        1, 1, 1,   command_rpush)
    add(node, b"lpushx",           -3, WDF,        1, 1, 1,   command_lpushx)
    add(node, b"rpushx",           -3, WDF,        1, 1, 1,   command_rpushx)
    add(node, b"lpop",             -2, WF,         1, 1, 1,   command_lpop)
    add(node, b"rpop",             -2, WF,         1, 1, 1,   command_rpop)
    add(node, b"llen",              2, RF,         1, 1, 1,   command_llen)
    add(node, b"lindex",            3, READONLY,   1, 1, 1,   command_lindex)
    add(node, b"lset",              4, WD,         1, 1, 1,   command_lset)
    add(node, b"linsert",           5, WD,         1, 1, 1,   command_linsert)
    add(node, b"lrange",            4, READONLY,   1, 1, 1,   command_lrange)
    add(node, b"ltrim",             4, WRITE,      1, 1, 1,   command_ltrim)
    add(node, b"lrem",              4, WRITE,      1, 1, 1,   command_lrem)
    add(node, b"lpos",             -3, READONLY,   1, 1, 1,   command_lpos)
    add(node, b"lmove",             5, WD,         1, 2, 1,   command_lmove)
    add(node, b"rpoplpush",         3, WD,         1, 2, 1,   command_rpoplpush)
    add(node, b"lmpop",            -4, WRITE,      0, 0, 0,   command_lmpop)

    add(node, b"blpop",            -3, BW,         1, -2, 1,  command_blpop)
    add(node, b"brpop",            -3, BW,         1, -2, 1,  command_brpop)
    add(node, b"blmove",            6, BWD,        1, 2, 1,   command_blmove)
    add(node, b"brpoplpush",        4, BWD,        1, 2, 1,   command_brpoplpush)
    add(node, b"blmpop",           -5, BW,         0, 0, 0,   command_blmpop)

    add(node, b"sadd",             -3, WDF,        1, 1, 1,   command_sadd)
    add(node, b"srem",             -3, WF,         1, 1, 1,   command_srem)
    add(node, b"sismember",         3, RF,         1, 1, 1,   command_sismember)
    add(node, b"smismember",       -3, RF,         1, 1, 1,   command_smismember)
    add(node, b"scard",             2, RF,         1, 1, 1,   command_scard)
    add(node, b"smembers",          2, READONLY,   1, 1, 1,   command_smembers)
    add(node, b"smove",             4, WF,         1, 2, 1,   command_smove)
    add(node, b"spop",             -2, WF,         1, 1, 1,   command_spop)
    add(node, b"srandmember",      -2, READONLY,   1, 1, 1,   command_srandmember)
    add(node, b"sscan",            -3, READONLY,   1, 1, 1,   command_sscan)
    add(node, b"sinter",           -2, READONLY,   1, -1, 1,  command_sinter)
    add(node, b"sinterstore",      -3, WD,         1, -1, 1,  command_sinterstore)
    add(node, b"sintercard",       -3, RK,         0, 0, 0,   command_sintercard)
    add(node, b"sunion",           -2, READONLY,   1, -1, 1,  command_sunion)
    add(node, b"sunionstore",      -3, WD,         1, -1, 1,  command_sunionstore)
    add(node, b"sdiff",            -2, READONLY,   1, -1, 1,  command_sdiff)
    add(node, b"sdiffstore",       -3, WD,         1, -1, 1,  command_sdiffstore)

    add(node, b"zadd",             -4, WDF,        1, 1, 1,   command_zadd)
    add(node, b"zincrby",           4, WDF,        1, 1, 1,   command_zincrby)
    add(node, b"zrem",             -3, WF,         1, 1, 1,   command_zrem)
    add(node, b"zscore",            3, RF,         1, 1, 1,   command_zscore)
    add(node, b"zmscore",          -3, RF,         1, 1, 1,   command_zmscore)
    add(node, b"zcard",             2, RF,         1, 1, 1,   command_zcard)
    add(node, b"zrank",            -3, RF,         1, 1, 1,   command_zrank)
    add(node, b"zrevrank",         -3, RF,         1, 1, 1,   command_zrevrank)
    add(node, b"zpopmin",          -2, WF,         1, 1, 1,   command_zpopmin)
    add(node, b"zpopmax",          -2, WF,         1, 1, 1,   command_zpopmax)
    add(node, b"zmpop",            -4, WRITE,      0, 0, 0,   command_zmpop)
    add(node, b"zrandmember",      -2, READONLY,   1, 1, 1,   command_zrandmember)
    add(node, b"zscan",            -3, READONLY,   1, 1, 1,   command_zscan)
    add(node, b"zrange",           -4, READONLY,   1, 1, 1,   command_zrange)
    add(node, b"zrevrange",        -4, READONLY,   1, 1, 1,   command_zrevrange)
    add(node, b"zrangebyscore",    -4, READONLY,   1, 1, 1,   command_zrangebyscore)
    add(node, b"zrevrangebyscore", -4, READONLY,   1, 1, 1,   command_zrevrangebyscore)
    add(node, b"zrangebylex",      -4, READONLY,   1, 1, 1,   command_zrangebylex)
    add(node, b"zrevrangebylex",   -4, READONLY,   1, 1, 1,   command_zrevrangebylex)
    add(node, b"zrangestore",      -5, WD,         1, 2, 1,   command_zrangestore)
    add(node, b"zcount",            4, RF,         1, 1, 1,   command_zcount)
    add(node, b"zlexcount",         4, RF,         1, 1, 1,   command_zlexcount)
    add(node, b"zremrangebyrank",   4, WRITE,      1, 1, 1,   command_zremrangebyrank)
    add(node, b"zremrangebyscore",  4, WRITE,      1, 1, 1,   command_zremrangebyscore)
    add(node, b"zremrangebylex",    4, WRITE,      1, 1, 1,   command_zremrangebylex)
    add(node, b"zunion",           -3, RK,         0, 0, 0,   command_zunion)
    add(node, b"zunionstore",      -4, WD,         1, 1, 1,   command_zunionstore)
    add(node, b"zinter",           -3, RK,         0, 0, 0,   command_zinter)
    add(node, b"zinterstore",      -4, WD,         1, 1, 1,   command_zinterstore)
    add(node, b"zintercard",       -3, RK,         0, 0, 0,   command_zintercard)
    add(node, b"zdiff",            -3, RK,         0, 0, 0,   command_zdiff)
    add(node, b"zdiffstore",       -4, WD,         1, 1, 1,   command_zdiffstore)

    add(node, b"bzpopmin",         -3, BWF,        1, -2, 1,  command_bzpopmin)
    add(node, b"bzpopmax",         -3, BWF,        1, -2, 1,  command_bzpopmax)
    add(node, b"bzmpop",           -5, BW,         0, 0, 0,   command_bzmpop)

    add(node, b"bitpos",           -3, READONLY,   1, 1, 1,   command_bitpos)
    add(node, b"bitop",            -4, WD,         2, -1, 1,  command_bitop)
    add(node, b"bitfield",         -2, WD,         1, 1, 1,   command_bitfield)
    add(node, b"bitfield_ro",      -2, RF,         1, 1, 1,   command_bitfield_ro)
    add(node, b"lcs",              -3, READONLY,   1, 2, 1,   command_lcs)

    add(node, b"pfadd",            -2, WDF,        1, 1, 1,   command_pfadd)
    add(node, b"pfcount",          -2, READONLY,   1, -1, 1,  command_pfcount)
    add(node, b"pfmerge",          -2, WD,         1, -1, 1,  command_pfmerge)

    add(node, b"sort",             -2, WD,         1, 1, 1,   command_sort)
    add(node, b"sort_ro",          -2, READONLY,   1, 1, 1,   command_sort_ro)

    add(node, b"dump",              2, READONLY,   1, 1, 1,   command_dump)
    add(node, b"restore",          -4, WD,         1, 1, 1,   command_restore)

    add(node, b"geoadd",           -5, WD,         1, 1, 1,   command_geoadd)
    add(node, b"geodist",          -4, READONLY,   1, 1, 1,   command_geodist)
    add(node, b"geohash",          -2, READONLY,   1, 1, 1,   command_geohash)
    add(node, b"geopos",           -2, READONLY,   1, 1, 1,   command_geopos)
    add(node, b"geosearch",        -7, READONLY,   1, 1, 1,   command_geosearch)
    add(node, b"geosearchstore",   -8, WD,         1, 2, 1,   command_geosearchstore)
    add(node, b"georadius",        -6, WD,         1, 1, 1,   command_georadius)
    add(node, b"georadius_ro",     -6, READONLY,   1, 1, 1,   command_georadius_ro)
    add(node, b"georadiusbymember", -5, WD,         1, 1, 1,   command_georadiusbymember)
    add(node, b"georadiusbymember_ro", -5, READONLY,   1, 1, 1,   command_georadiusbymember_ro)

    add(node, b"del",              -2, WRITE,      1, -1, 1,  command_del)
    add(node, b"unlink",           -2, WF,         1, -1, 1,  command_unlink)
    add(node, b"exists",           -2, RF,         1, -1, 1,  command_exists)
    add(node, b"touch",            -2, RF,         1, -1, 1,  command_touch)
    add(node, b"type",              2, RF,         1, 1, 1,   command_type)
    add(node, b"expire",           -3, WF,         1, 1, 1,   command_expire)
    add(node, b"pexpire",          -3, WF,         1, 1, 1,   command_pexpire)
    add(node, b"expireat",         -3, WF,         1, 1, 1,   command_expireat)
    add(node, b"pexpireat",        -3, WF,         1, 1, 1,   command_pexpireat)
    add(node, b"ttl",               2, RF,         1, 1, 1,   command_ttl)
    add(node, b"pttl",              2, RF,         1, 1, 1,   command_pttl)
    add(node, b"expiretime",        2, RF,         1, 1, 1,   command_expiretime)
    add(node, b"pexpiretime",       2, RF,         1, 1, 1,   command_pexpiretime)
    add(node, b"persist",           2, WF,         1, 1, 1,   command_persist)
    add(node, b"rename",            3, WRITE,      1, 2, 1,   command_rename)
    add(node, b"renamenx",          3, WF,         1, 2, 1,   command_renamenx)
    add(node, b"move",              3, WF,         1, 1, 1,   command_move)
    add(node, b"swapdb",            3, WF,         0, 0, 0,   command_swapdb)
    add(node, b"copy",             -3, WD, 1, 2, 1,   command_copy)
    add(node, b"randomkey",         1, READONLY,   0, 0, 0,   command_randomkey)
    add(node, b"dbsize",            1, RF,         0, 0, 0,   command_dbsize)
    add(node, b"flushdb",          -1, WRITE,      0, 0, 0,   command_flushdb)
    add(node, b"flushall",         -1, WRITE,      0, 0, 0,   command_flushall)
    add(node, b"keys",              2, READONLY,   0, 0, 0,   command_keys)
    add(node, b"scan",             -2, READONLY,   0, 0, 0,   command_scan)
    add(node, b"object",           -2, CONTAINER,  0, 0, 0,   NULL)
    add(node, b"object|encoding",   3, READONLY,   2, 2, 1,   command_object_encoding)
    add(node, b"object|idletime",   3, READONLY,   2, 2, 1,   command_object_idletime)
    add(node, b"object|refcount",   3, READONLY,   2, 2, 1,   command_object_refcount)
    add(node, b"object|freq",       3, READONLY,   2, 2, 1,   command_object_freq)
    add(node, b"object|help",       2, 0,          0, 0, 0,   command_help)
    add(node, b"memory",           -2, CONTAINER,  0, 0, 0,   NULL)
    add(node, b"memory|usage",     -3, READONLY,   2, 2, 1,   command_memory_usage)
    add(node, b"memory|stats",      2, 0,          0, 0, 0,   command_memory_stats)
    add(node, b"memory|doctor",     2, 0,          0, 0, 0,   command_memory_doctor)
    add(node, b"memory|malloc-stats", 2, 0,        0, 0, 0,   command_memory_malloc_stats)
    add(node, b"memory|purge",      2, 0,          0, 0, 0,   command_memory_purge)
    add(node, b"memory|help",       2, 0,          0, 0, 0,   command_help)

    add(node, b"debug",            -2, CONTAINER,  0, 0, 0,   NULL)
    add(node, b"debug|sleep",       3, ADMIN,      0, 0, 0,   command_debug_sleep)
    add(node, b"debug|object",      3, ADMIN,      2, 2, 1,   command_debug_object)
    add(node, b"debug|reload",     -2, ADMIN,      0, 0, 0,   command_debug_reload)
    add(node, b"debug|loadaof",     2, ADMIN,      0, 0, 0,   command_debug_loadaof)
    add(node, b"debug|set-active-expire", 3, ADMIN, 0, 0, 0,  command_debug_set_active_expire)

    add(node, b"replicaof",         3, ADMIN,      0, 0, 0,   command_replicaof)
    add(node, b"slaveof",           3, ADMIN,      0, 0, 0,   command_replicaof)
    add(node, b"role",              1, FAST,       0, 0, 0,   command_role)
    add(node, b"replconf",         -1, ADMIN,      0, 0, 0,   command_replconf)
    add(node, b"wait",              3, BLOCKING | DATASET, 0, 0, 0, command_wait)
    add(node, b"waitaof",           4, BLOCKING | DATASET, 0, 0, 0, command_waitaof)
    add(node, b"psync",            -3, ADMIN | DATASET, 0, 0, 0, command_psync)
    add(node, b"sync",              1, ADMIN | DATASET, 0, 0, 0, command_sync)

    add(node, b"multi",             1, AF,         0, 0, 0,   command_multi)
    add(node, b"exec",              1, AT_ONCE,    0, 0, 0,   command_exec)
    add(node, b"discard",           1, AF,         0, 0, 0,   command_discard)
    add(node, b"watch",            -2, AF,         1, -1, 1,  command_watch)
    add(node, b"unwatch",           1, FAST,       0, 0, 0,   command_unwatch)

    add(node, b"ping",             -1, FAST | DATASET | WHILE_SUBSCRIBED, 0, 0, 0, command_ping)
    add(node, b"echo",              2, FAST,       0, 0, 0,   command_echo)
    add(node, b"quit",             -1, NF | AT_ONCE | WHILE_SUBSCRIBED, 0, 0, 0,   command_quit)
    add(node, b"reset",             1, NF | AT_ONCE | WHILE_SUBSCRIBED, 0, 0, 0,   command_reset)
    add(node, b"select",            2, FAST,       0, 0, 0,   command_select)
    add(node, b"time",              1, FAST,       0, 0, 0,   command_time)
    add(node, b"hello",            -1, NF,         0, 0, 0,   command_hello)
    add(node, b"auth",             -2, NF,         0, 0, 0,   command_auth)
    add(node, b"client",           -2, CONTAINER,  0, 0, 0,   NULL)
    add(node, b"client|id",         2, 0,          0, 0, 0,   command_client_id)
    add(node, b"client|setname",    3, 0,          0, 0, 0,   command_client_setname)
    add(node, b"client|getname",    2, 0,          0, 0, 0,   command_client_getname)
    add(node, b"client|setinfo",    4, 0,          0, 0, 0,   command_client_setinfo)
    add(node, b"client|info",       2, 0,          0, 0, 0,   command_client_info)
    add(node, b"client|list",      -2, ADMIN,      0, 0, 0,   command_client_list)
    add(node, b"client|kill",      -3, ADMIN,      0, 0, 0,   command_client_kill)
    add(node, b"client|unblock",   -3, ADMIN,      0, 0, 0,   command_client_unblock)
    add(node, b"client|no-evict",   3, ADMIN,      0, 0, 0,   command_client_no_evict)
    add(node, b"client|no-touch",   3, 0,          0, 0, 0,   command_client_no_touch)
    add(node, b"client|tracking",  -3, 0,          0, 0, 0,   command_client_tracking)
    add(node, b"client|caching",    3, 0,          0, 0, 0,   command_client_caching)
    add(node, b"client|trackinginfo", 2, 0,        0, 0, 0,   command_client_trackinginfo)
    add(node, b"client|getredir",   2, 0,          0, 0, 0,   command_client_getredir)
    add(node, b"client|reply",      3, 0,          0, 0, 0,   command_client_reply)
    add(node, b"client|pause",     -3, ADMIN,      0, 0, 0,   command_client_pause)
    add(node, b"client|unpause",    2, ADMIN,      0, 0, 0,   command_client_unpause)
    add(node, b"client|help",       2, 0,          0, 0, 0,   command_help)
    add(node, b"subscribe",        -2, WHILE_SUBSCRIBED, 0, 0, 0, command_subscribe)
    add(node, b"psubscribe",       -2, WHILE_SUBSCRIBED, 0, 0, 0, command_psubscribe)
    add(node, b"ssubscribe",       -2, WHILE_SUBSCRIBED, 1, -1, 1, command_ssubscribe)
    add(node, b"unsubscribe",      -1, WHILE_SUBSCRIBED, 0, 0, 0, command_unsubscribe)
    add(node, b"punsubscribe",     -1, WHILE_SUBSCRIBED, 0, 0, 0, command_punsubscribe)
    add(node, b"sunsubscribe",     -1, WHILE_SUBSCRIBED, 1, -1, 1, command_sunsubscribe)
    add(node, b"publish",           3, FAST,       0, 0, 0,   command_publish)
    add(node, b"spublish",          3, FAST,       1, 1, 1,   command_spublish)
    add(node, b"pubsub",           -2, CONTAINER,  0, 0, 0,   NULL)
    add(node, b"pubsub|channels",  -2, 0,          0, 0, 0,   command_pubsub_channels)
    add(node, b"pubsub|numsub",    -2, 0,          0, 0, 0,   command_pubsub_numsub)
    add(node, b"pubsub|numpat",     2, 0,          0, 0, 0,   command_pubsub_numpat)
    add(node, b"pubsub|shardchannels", -2, 0,      0, 0, 0,   command_pubsub_shardchannels)
    add(node, b"pubsub|shardnumsub", -2, 0,        0, 0, 0,   command_pubsub_shardnumsub)
    add(node, b"pubsub|help",       2, 0,          0, 0, 0,   command_help)
    add(node, b"monitor",           1, ADMIN,      0, 0, 0,   command_monitor)
    add(node, b"info",             -1, 0,          0, 0, 0,   command_info)
    add(node, b"config",           -2, CONTAINER,  0, 0, 0,   NULL)
    add(node, b"config|get",       -3, ADMIN,      0, 0, 0,   command_config_get)
    add(node, b"config|set",       -4, ADMIN,      0, 0, 0,   command_config_set)
    add(node, b"config|resetstat",  2, ADMIN,      0, 0, 0,   command_config_resetstat)
    add(node, b"config|rewrite",    2, ADMIN,      0, 0, 0,   command_config_rewrite)
    add(node, b"config|help",       2, 0,          0, 0, 0,   command_help)
    add(node, b"command",          -1, CONTAINER,  0, 0, 0,   command_command)
    add(node, b"command|count",     2, 0,          0, 0, 0,   command_command_count)
    add(node, b"command|info",     -2, 0,          0, 0, 0,   command_command_info)
    add(node, b"command|docs",     -2, 0,          0, 0, 0,   command_command_docs)
    add(node, b"command|getkeys",  -4, 0,          0, 0, 0,   command_command_getkeys)
    add(node, b"command|list",     -2, 0,          0, 0, 0,   command_command_list)
    add(node, b"command|help",      2, 0,          0, 0, 0,   command_help)

    add(node, b"acl",              -2, CONTAINER,  0, 0, 0,   NULL)
    add(node, b"acl|cat",          -2, 0,          0, 0, 0,   command_acl_cat)
    add(node, b"acl|deluser",      -3, ADMIN,      0, 0, 0,   command_acl_deluser)
    add(node, b"acl|dryrun",       -4, ADMIN,      0, 0, 0,   command_acl_dryrun)
    add(node, b"acl|genpass",      -2, 0,          0, 0, 0,   command_acl_genpass)
    add(node, b"acl|getuser",       3, ADMIN,      0, 0, 0,   command_acl_getuser)
    add(node, b"acl|help",          2, 0,          0, 0, 0,   command_help)
    add(node, b"acl|list",          2, ADMIN,      0, 0, 0,   command_acl_list)
    add(node, b"acl|load",          2, ADMIN,      0, 0, 0,   command_acl_load)
    add(node, b"acl|log",          -2, ADMIN,      0, 0, 0,   command_acl_log)
    add(node, b"acl|save",          2, ADMIN,      0, 0, 0,   command_acl_save)
    add(node, b"acl|setuser",      -3, ADMIN,      0, 0, 0,   command_acl_setuser)
    add(node, b"acl|users",         2, ADMIN,      0, 0, 0,   command_acl_users)
    add(node, b"acl|whoami",        2, 0,          0, 0, 0,   command_acl_whoami)
    add(node, b"slowlog",          -2, CONTAINER,  0, 0, 0,   NULL)
    add(node, b"slowlog|get",      -2, ADMIN,      0, 0, 0,   command_slowlog_get)
    add(node, b"slowlog|help",      2, 0,          0, 0, 0,   command_help)
    add(node, b"slowlog|len",       2, ADMIN,      0, 0, 0,   command_slowlog_len)
    add(node, b"slowlog|reset",     2, ADMIN,      0, 0, 0,   command_slowlog_reset)
    add(node, b"latency",          -2, CONTAINER,  0, 0, 0,   NULL)
    add(node, b"latency|doctor",    2, ADMIN,      0, 0, 0,   command_latency_doctor)
    add(node, b"latency|graph",     3, ADMIN,      0, 0, 0,   command_latency_graph)
    add(node, b"latency|help",      2, 0,          0, 0, 0,   command_help)
    add(node, b"latency|histogram", -2, ADMIN,     0, 0, 0,   command_latency_histogram)
    add(node, b"latency|history",   3, ADMIN,      0, 0, 0,   command_latency_history)
    add(node, b"latency|latest",    2, ADMIN,      0, 0, 0,   command_latency_latest)
    add(node, b"latency|reset",    -2, ADMIN,      0, 0, 0,   command_latency_reset)
    add(node, b"lolwut",           -1, READONLY,   0, 0, 0,   command_lolwut)

    add(node, b"save",              1, ADMIN,      0, 0, 0,   command_save)
    add(node, b"bgsave",           -1, ADMIN,      0, 0, 0,   command_bgsave)
    add(node, b"lastsave",          1, FAST,       0, 0, 0,   command_lastsave)
    add(node, b"bgrewriteaof",      1, ADMIN,      0, 0, 0,   command_bgrewriteaof)
    add(node, b"shutdown",         -1, ADMIN,      0, 0, 0,   command_shutdown)
    names_index(node)
    catalog_open(node)
