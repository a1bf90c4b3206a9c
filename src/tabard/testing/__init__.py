"""Builders and faulty parts for tests of ours and of our users."""
