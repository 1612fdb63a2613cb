"""Measuring Quench beside its peers: a load generator, the targets, the scenarios and the report.

Nothing here is installed and nothing here imports `proxy` or `storenode`: the judge shares no code with the judged.
"""
