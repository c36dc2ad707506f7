"""Who may go where: clients, destinations, limits.

Knows no flow.
"""
