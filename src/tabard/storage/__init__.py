"""The databases behind the seams."""
