"""The formula of every family of numbers in a GPT-2, each over operands that have formulas in turn.

Begin with `quantities` (a number by its reference, operands, sums), then one `*_formulas` per part of the model.
`lab.inspect.explain_number` has the rule of every family and those of interventions, `lab.views.number_explanation` lays the
answer out. A formula never calls another's: it names its operands by reference.
Imports `lab.inspect`, `lab.views`, `lab.core` and `models`.
"""
