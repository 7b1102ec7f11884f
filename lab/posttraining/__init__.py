"""After pretraining: a base model that continues stories is turned into one that answers questions about them.

Supervised fine-tuning (SFT) on questions and answers, then reinforcement learning with and without a KL penalty. Begin with
`process`, the process that does it, and `question_pairs`; `history` and `reading` are the screen's side and need no torch.
Imports `models`, `lab.core`, `lab.views`, `lab.runs`, `lab.data`, `lab.planning` and `lab.training`.
"""
