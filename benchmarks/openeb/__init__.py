"""Prophesee's words, decoded here and by OpenEB."""
