"""The rules by which held rows are judged: `judge` is the way in, `findings` the kinds of holes, warnings and notes.

Pure, as `domain` is: no database, no clock, no input or output. An import contract holds it to that.
"""
