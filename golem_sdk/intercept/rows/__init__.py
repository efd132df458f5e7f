"""The rows of `golem_sdk.intercept.table`, one module for each kind of side effect. Data only."""
