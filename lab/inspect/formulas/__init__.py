"""The formula of every family of numbers in a GPT-2, each over operands that have formulas in turn.

Read in this order: `quantities` (a number by its reference, operands, sums), `formula_registry` (the rule of each family), one
`*_formulas` per part of the model; then `lab.inspect.explain_number`, which asks them and has those of interventions, and
`lab.views.number_explanation`, which lays the answer out. A formula never calls another's: it names its operands by reference.
Imports `lab.inspect`, `lab.views`, `lab.core` and `models`.
"""
