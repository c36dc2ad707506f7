"""What can go wrong: the catalogue of problems, and the value that a client and the log get of one.

Pure: makes texts from facts and looks for none. No text here may hold a secret or a signed URL.
"""
