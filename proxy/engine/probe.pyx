# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Probe: an engine without sockets, for tests and the micro-benchmark.

Clients are fed bytes and give bytes, node connections likewise; everything between is the real engine. A node
connection of a probe is marked stuck, so its bytes stay in its output until they are taken.
"""
