"""After pretraining: a base model that continues stories is turned into one that answers questions about them.

Supervised fine-tuning (SFT) on questions and answers, then reinforcement learning with and without a KL penalty. Begin with
`posttraining_job`, `post_train` and `question_pairs`; `posttraining_record` and `posttraining_views` are the screen's side.
Imports `models`, `lab.core`, `lab.views`, `lab.runs`, `lab.data`, `lab.planning` and
`lab.training`.
"""
