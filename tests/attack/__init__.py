"""Attacks every reader of files with broken and hostile input, each in a process that may die: `make attack`."""
