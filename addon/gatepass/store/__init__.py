"""What replicas share: values sealed in a server that anybody may write to, flights, and tallies.

Knows neither what it keeps nor for whom; a help and never a need: without the server each replica goes on by itself.
"""
