"""Trends: figures that add up from minutes to hours and days; without the disk."""
