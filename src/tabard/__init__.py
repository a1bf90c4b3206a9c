"""Tabard: a self-hosted customer data pipeline."""
