"""The formula of every family of numbers in a GPT-2, each over operands that have a formula of their own.

Begin with `formula_table`. A step from one number to another never calls the other's formula: it names the other, and
whoever reads on asks for that name. Imports `lab.inspect`, `lab.views`, `lab.core`.
"""
