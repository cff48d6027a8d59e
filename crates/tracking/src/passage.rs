//! Requests that are under way, by namespace: one that is deleted must not be cleared away under their hands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passages(Arc<Mutex<HashMap<String, usize>>>);

/// A request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Passage {
    passages: Passages,
    namespace: String,
}

impl Passages {
    /// Counts a request to `namespace`. It must be asked afterwards whether that takes requests.
    pub(crate) fn enter(&self, namespace: &str) -> Passage {
        *self.lock().entry(namespace.to_owned()).or_default() += 1;
        Passage { passages: self.clone(), namespace: namespace.to_owned() }
    }

    /// How many requests are under way.
    pub(crate) fn count(&self, namespace: &str) -> usize {
        self.lock().get(namespace).copied().unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let mut counts = self.passages.lock();
        if let Some(count) = counts.get_mut(&self.namespace) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_until_they_end() {
        let passages = Passages::default();
        let first = passages.enter("a");
        let second = passages.enter("a");
        assert_eq!((passages.count("a"), passages.count("b")), (2, 0));
        drop(first);
        assert_eq!(passages.count("a"), 1);
        drop(second);
        assert!(passages.lock().is_empty());
    }
}
