"""The commands of `tabard`, one module a family. They parse, call and print; they decide nothing."""
