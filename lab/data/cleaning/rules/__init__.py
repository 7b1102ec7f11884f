"""The cleaning rules, a module per family. `lab.data.cleaning.rule_registry` lists them all with their explanations."""
