"""The way of one URL, walked as the addon would walk it, and told step by step.

Asks what the addon asks, by the addon's own parts; knows no flow, and nothing of how findings are shown.
"""
