"""The lab without a screen: one package per concern.

Data flows one way: text (`data`) → tokens → run folder (`runs`) → screen. Each package imports only from those before it in
this order:
`core`, `views`, `runs`, `data`, `tokenization`, `planning`, `training`, `reports`, `scaling`, `posttraining`, `inspect`,
`one_step`, `experiments`, `engine`, `exchange`, `lessons`, `learner`, `bench`, `cli`.

From Python, begin with `lab.api`.
"""
