"""Parts of Inspect around the drawing of the model: the prediction beside every stage, and the tour."""
