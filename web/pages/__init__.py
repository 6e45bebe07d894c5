"""The pages for people: one module for each, which makes a typed document; its template makes the page."""
