"""Are counters exact, whatever merges them? The check is checked in tests/proof/test_linear.py: see __main__.py."""
