"""What is observed: the name of every event and metric, once."""
