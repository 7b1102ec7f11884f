"""Models from and to Hugging Face's folders: GPT-2's weights become a run, and a run becomes a folder that transformers opens.

Begin with `import_run` and `export_model`. A folder from outside is input, not truth: names, sizes and shapes are checked
before anything is allocated, and no file in it is ever executed.
"""
