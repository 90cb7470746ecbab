"""X.509 encodings: certificates, requests and CRLs as bytes. Pure: no clock, no I/O; time and keys are arguments.

Whatever is refused here is a ValueError whose message says what was wrong, fit for a client.
"""
