"""Does the tier survive what it says it survives? Faults under load, and a judge of what clients saw: __main__.py."""
