"""What `gatepass demo` shows and what the end-to-end tests run against: a stand-in GitHub, and packages for it.

Nothing in the addon imports it: it plays the other side of the wire, and knows GitHub's behaviour alone.
"""
