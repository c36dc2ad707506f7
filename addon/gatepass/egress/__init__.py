"""Who uses the proxy, and how much of it: clients known by passwords, tokens and addresses, and the limits of each.

Knows no flow, and no rule but of access.
"""
