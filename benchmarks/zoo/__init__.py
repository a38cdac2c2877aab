"""The zoo: small models of every kind that can be converted, each with how it is made.

``benchmarks/zoo.py`` converts, proves and times all of them; the tests do the same with fewer trees and rows.
"""
