"""The encoder in a browser: one page that holds runtime, model and a small index, and asks nobody for anything.

``build`` may be imported from elsewhere; ``python -m deploy.web`` writes a page.
"""
