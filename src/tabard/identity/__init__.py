"""Who is it: the pure rules of identity resolution (docs/identity.md)."""
