"""The fast lane: compiled, share-nothing, without the GIL. `engine.Engine` is the only door."""
