"""What any HTTP answer needs: requests and their environment, payloads, replies, problems, headers, addresses."""
