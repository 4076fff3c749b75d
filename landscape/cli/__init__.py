"""The command line: parse, make frozen settings, call the package once, say what was done and where it lies."""
