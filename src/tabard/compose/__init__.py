"""The only package that picks drivers: it opens what the commands and the roles work with."""
