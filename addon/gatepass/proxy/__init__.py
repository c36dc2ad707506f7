"""All that knows mitmproxy: the addon, its flows, sealed headers, modes, and a mitmproxy of our own process.

Decides nothing: each hook takes facts off a flow, asks a pure function, and does what that says.
"""
