"""The ground floor: bytes, buffers, RESP framing and the epoll loop.

Everything here is compiled and knows nothing of proxies or stores; `proxy.engine` and `storenode` stand on it.
"""
