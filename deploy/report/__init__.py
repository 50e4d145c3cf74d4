"""The report: what it reads, the tree of figures, the page, the tables, and the comparison of two reports.

Nobody imports from here but the commands.
"""
