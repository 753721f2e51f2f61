"""Durable workflows on a real engine, in processes of their own."""
