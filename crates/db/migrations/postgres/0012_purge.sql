-- A run that is purged takes along what it measured on models.
CREATE INDEX logged_model_metrics_by_run ON logged_model_metrics (run);
