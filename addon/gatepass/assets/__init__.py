"""From a decision to bytes: where an asset is to be had, how a client gets it, and the answers that clients see.

Knows neither flows nor mitmproxy; the secret itself it only hands on.
"""
