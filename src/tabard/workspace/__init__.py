"""What the operator configured: sources, write keys, destinations, subscriptions, mappings."""
