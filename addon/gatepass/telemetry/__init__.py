"""What is told of requests to those who run the proxy: audit lines, metrics, a status page; and how they are asked for.

Knows neither mitmproxy nor rules, decides nothing, and holds no query, no header and no secret.
"""
