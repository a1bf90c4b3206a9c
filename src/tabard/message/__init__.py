"""What travels: one call as sent, from the door to the destination. Pure; imports nothing of ours."""
