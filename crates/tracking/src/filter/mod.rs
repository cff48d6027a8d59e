//! The search grammar: `metrics.accuracy > 0.9 AND params.lr = "0.1"`.
