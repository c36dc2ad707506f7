"""HTTP as far as it is spoken here (RFC 9110): header fields sent on, conditional and range requests.

Pure: from texts to answers; knows neither forges nor flows.
"""
