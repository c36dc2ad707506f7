"""rules.yaml: where it is found, what it may say, what it means, and which rule a request falls under.

Knows no secret, only where one may come from; nothing here asks a forge.
"""
