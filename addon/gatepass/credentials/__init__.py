"""The secrets that the rules name, asked for at their sources: the environment, files, programs, GitHub Apps.

Knows whom a secret is for; not what is done with it, and no flow.
"""
