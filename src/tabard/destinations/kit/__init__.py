"""What a destination is made of: declared data, a mapping from message to payload, and a small `perform`.

A destination's author needs `destination`, `action`, `field`, `request` and `errors`. The rest works on what
they declare. Nothing here opens a socket or reads a clock.
"""
