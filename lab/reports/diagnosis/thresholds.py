"""Thresholds of the diagnosis, each with the reason for its value. Steps, shares of a loss, nats per token."""

RISING_EVALUATIONS = 3
"""As many evaluations in a row above the lowest validation loss, and it is said to rise: one or two are noise."""
RISE = 0.005
"""It must have risen by this share too, or it stands still."""
ABOVE_UNIFORM = 0.05
"""A smoothed loss this share above the uniform baseline has diverged: even a model that knows nothing does better."""
BACK_UP = 0.25
"""A smoothed training loss this share above its own lowest has diverged: a step of that learning rate threw the model back."""
TREND_SHARE = 0.25
"""The present trend is judged over this last share of the steps."""
FEW_STEPS = 10
"""The mean or median of so many losses is no longer that of a single odd batch."""
FEWEST_STEPS = 20
"""Fewer steps say nothing."""
FEWEST_EVALUATIONS = 3
STEPS_WITHOUT_EVALUATIONS = 50
"""With less than so many evaluations in the stretch, it must have so many steps for a plateau."""
STANDS_STILL = 0.01
"""A loss that falls by less than this share of itself over the stretch stands still."""
TOKENS_PER_ENTRY = 20
"""A vocabulary with fewer training tokens for each of its entries is large: most of them are seen a few times only."""
GAP = 0.1
"""A validation loss this share above the training loss of the same step shows that the text is being memorized."""
NEAR = 0.02
"""A loss within this share above an entropy is about that entropy."""
NEAR_SOURCE = 0.05
"""The same for the entropy of the source."""
FAR = 5.0
"""A peak learning rate so many times above or below the default is far from it."""
HIGH_DROPOUT = 0.5
DECAYED = 0.3
"""Of the peak: below this the learning rate itself slows everything down."""
FIRST_EPOCH_GAP = 0.2
"""In the first epoch every training loss is one on new text, so that a validation loss this share above it is not overfitting."""
DIVERGENCE, DIVERGENCE_TOKENS = 0.15, 4000
"""Nats per token by which the token frequencies of the two parts differ, in a validation part of at least so many tokens. The
tenths of one book are below 0.1, two languages above 0.2."""
COPIED = 0.5
"""Share of the validation text found verbatim in the training text from which its loss does not measure new text."""
