"""The door: HTTP in, durable message, answer."""
