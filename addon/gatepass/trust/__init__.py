"""CAs: the proxy's own, the bundles that clients and the proxy trust, and the stores of operating systems.

Makes and combines certificates; knows neither rules nor who asks.
"""
