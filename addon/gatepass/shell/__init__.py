"""The user's machine: the variables of a shell, the proxy it names, the servers that run, temporary directories.

Knows no rule, no secret of a rule and no forge's API.
"""
