"""What is known: registers and their fold into profiles. Pure."""
