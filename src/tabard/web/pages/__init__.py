"""The pages; each has one function that makes its context, and its JSON twin answers exactly that."""
