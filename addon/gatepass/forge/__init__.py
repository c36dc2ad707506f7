"""What a forge's addresses mean: its hosts, download URLs and signed URLs.

Pure text: knows no rule, no credential and no network.
"""
