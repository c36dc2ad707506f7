"""What the releases of repositories hold, as a package index: from the API's lists to pages as the PEPs have them.

Knows neither flows nor mitmproxy: a request is a value here, and so is its answer.
"""
