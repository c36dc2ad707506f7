"""Who may go where, and how often: clients, destinations, limits.

Knows no flow.
"""
