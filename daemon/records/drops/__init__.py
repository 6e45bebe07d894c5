"""Drops: decided ones with their outcomes, those that wait for a person, and their exams."""
