"""Basics of every HTTP answer: requests and their environment, payloads, replies, problems, headers, addresses."""
