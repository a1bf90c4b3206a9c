"""What to send: the destination kit, the built-in catalogue and the registry that finds both."""
