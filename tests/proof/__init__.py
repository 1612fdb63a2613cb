"""What the checkers share: histories and the search through them, actors, trouble, breakable wires, planted mutants."""
