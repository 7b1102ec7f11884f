"""Cleaning of a text by rules, as the pipelines behind large models do it, and the funnel of how much each rule took.

Begin with `rule_registry` (the rules, in the order in which they are applied), `cleaner` (a rule at work on a stream of text) and
`measure_funnel` (the bytes from raw to kept, by rule).
"""
