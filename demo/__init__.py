"""A small shop that shows both clients at work; `make demo` starts it beside a Tabard of its own."""
