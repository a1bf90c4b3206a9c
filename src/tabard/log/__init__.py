"""The durable log: what was accepted, in the order of acceptance a partition, until every consumer has it."""
