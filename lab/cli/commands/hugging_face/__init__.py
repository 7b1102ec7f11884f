"""Commands for models in the layout of Hugging Face."""
