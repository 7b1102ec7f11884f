"""The formula of every family of numbers in a GPT-2, each over operands that have a formula of their own.

One rule a family, none longer than the formula: `lab.quantities` finds the numbers and adds up the long sums, and
`lab.formulas.rules` lists the rules.
"""
