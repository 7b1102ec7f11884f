"""Parts of Inspect around the drawing of the model: the prediction at every stage, the tour, the transition to a softmax."""
