"""What the workbench touches inside other people's libraries: one file per library, and nothing of
it elsewhere.

A public function of a library may be called anywhere. What may change without a word in a changelog
(an argument's name, an attribute, a class to inherit from) is asked for here alone, and
`tests/libraries/` holds each of these assumptions against the installed version, so that the next
release that breaks one says so by name.
"""
