"""Service classes without I/O (PS3.4): what an AE does with the requests that reach it.

`handler` is what an application writes, `performer` runs it, `sop_classes` names what the two of
them speak about.
"""
