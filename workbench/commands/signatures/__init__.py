"""The commands as the command line knows them: a function each, whose docstring is its help and
whose parameters are its options. They are thin: each imports the file of `commands` that does the
work in its body, so that `workbench --help` loads no torch."""
