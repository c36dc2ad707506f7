"""What `gatepass demo` shows and what the end-to-end tests run against.

Nothing in the addon imports this package: it plays the other side of the wire, and knows GitHub's behaviour alone.
"""
