"""The slow lane: commands that need several nodes, a session of their own, or patience. One kind of session a file."""
