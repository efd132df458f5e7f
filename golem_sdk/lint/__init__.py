"""Static rules for agent code: what replay cannot repeat is found before it runs. Text in, findings out.

What is looked at: functions and classes with `@agent`, and the functions and classes of the same module that
these mention. Not followed: other modules, methods of objects whose class is not in sight, and functions with
`@durable`, `@durable_cached` or `@transaction`, in which everything is allowed.
"""
