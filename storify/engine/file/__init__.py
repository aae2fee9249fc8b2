"""A database in files: a main file, a log of what changed since, and older states.

`engine` has the map. A commit happens in `append` (one more frame of the log) or in
`checkpoint` (the main file anew); what a crash or rot left is judged in `state` and
mended in `recovery`; only `vfs` and `lock` touch the disk.
"""
