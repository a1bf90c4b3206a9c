"""The built-in destinations: a module or package each, with its `destination`."""
