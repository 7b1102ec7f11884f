"""The lab without a screen: one package per concern.

Data flows one way: text (`data`) → tokens → run folder (`runs`) → screen. Each package imports only from those before it in
this order:
`core`, `views`, `runs`, `data`, `tokenization`, `planning`, `training`, `analysis`, `inspect`, `experiments`, `studies`,
`engine`, `exchange`, `lessons`, `exercises`, `bench`, `cli`. What is built upon the trainer stands in folders of its own,
`training.scaling`, `training.posttraining` and `training.one_step`, which come later in the order.

From Python, begin with `lab.api`.
"""
