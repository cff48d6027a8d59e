//! What a record of a prediction, or of a label, says.

use serde::{Deserialize, Serialize};

use crate::PredictionId;
use crate::windows::{Observed, Predicted};

/// Rows of a request in columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// Features by name; each has as many values as there are rows.
    pub features: Vec<(String, Vec<Observed>)>,
    /// What was predicted, row by row.
    pub predicted: Vec<Predicted>,
}

/// A prediction, as its record keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// `NAME.NAMESPACE`.
    pub host: String,
    /// Which version.
    pub subset: String,
    /// What went in and came out.
    #[serde(flatten)]
    pub rows: Rows,
}

/// What was true of one prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelling {
    /// Which prediction.
    pub id: PredictionId,
    /// The class or number.
    pub truth: Predicted,
}

/// A record keeps at most so many rows of a request, evenly from all of it.
const MOST_ROWS: usize = 1_000;
/// And at most so many columns.
const MOST_COLUMNS: usize = 1_000;

impl Rows {
    /// Fewer rows, when there are more than are kept: evenly, so that the windows see all of a batch.
    pub fn thinned(mut self) -> Self {
        fn thin<T>(all: Vec<T>) -> Vec<T> {
            let step = all.len().div_ceil(MOST_ROWS).max(1);
            all.into_iter().step_by(step).collect()
        }
        self.features.truncate(MOST_COLUMNS);
        self.features = self.features.into_iter().map(|(name, values)| (name, thin(values))).collect();
        self.predicted = thin(self.predicted);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back() {
        let rows = Rows {
            features: vec![
                ("age".into(), vec![Observed::Number(3.5), Observed::Missing]),
                ("city".into(), vec![Observed::Category("a".into()), Observed::Category("b".into())]),
            ],
            predicted: vec![Predicted::Number(1.0), Predicted::Class("no".into())],
        };
        let prediction = Prediction { host: "fraud.lab".into(), subset: "v1".into(), rows };
        let text = serde_json::to_string(&prediction).unwrap();
        assert_eq!(serde_json::from_str::<Prediction>(&text).unwrap(), prediction);
    }

    #[test]
    fn a_batch_is_thinned_evenly() {
        let many = (0..2_500).map(|at| Observed::Number(f64::from(at))).collect::<Vec<_>>();
        let rows = Rows { features: vec![("a".into(), many)], predicted: vec![Predicted::Number(0.0); 10] }.thinned();
        let (first, last) = (rows.features[0].1.first(), rows.features[0].1.last());
        assert_eq!((first, last), (Some(&Observed::Number(0.0)), Some(&Observed::Number(2_499.0))));
        assert_eq!((rows.features[0].1.len(), rows.predicted.len()), (834, 10));
    }
}
