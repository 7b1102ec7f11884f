"""Parts of Inspect around the drawing of the model: the prediction beside every stage, the tour, and the transition to a softmax."""
