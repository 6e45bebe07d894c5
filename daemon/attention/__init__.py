"""What asks for people's attention: what they have seen to no longer does."""
