//! Profiles of columns, and of all columns of a data set.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sketch;
use crate::statistics::Moments;
use crate::windows::Observed;

/// Names of categories that a column keeps; the rarest beyond are counted together.
pub const MOST_CATEGORIES: usize = 1_000;
/// Columns that a profile keeps.
const MOST_COLUMNS: usize = 10_000;
const VERSION: u32 = 1;

/// Profiles of the columns of a data set, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    version: u32,
    columns: BTreeMap<String, Column>,
}

/// What a column is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Column {
    /// Numbers.
    Numbers(Numbers),
    /// Categories.
    Categories(Categories),
}

/// Numbers of a column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Numbers {
    /// Rows without a value, NaN and infinities among them.
    pub missing: u64,
    /// The least number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
    /// Count, mean and variance, exact.
    pub moments: Moments,
    /// Quantiles.
    pub sketch: Sketch,
}

/// Categories of a column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Categories {
    /// Rows without a value.
    pub missing: u64,
    /// Rows by name.
    pub counts: BTreeMap<String, u64>,
    /// Rows of categories that are too many to be named.
    pub other: u64,
}

/// Why profiles don't go together, or a text is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileError {
    /// A column is numbers in one and categories in the other.
    Mixed(String),
    /// There are more columns than a profile keeps.
    TooManyColumns,
    /// The text is no profile.
    Unreadable(String),
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mixed(column) => write!(f, "column {column:?} has numbers and categories; make it one of them"),
            Self::TooManyColumns => {
                write!(f, "a profile has at most {MOST_COLUMNS} columns; profile those that a model reads")
            }
            Self::Unreadable(why) => write!(f, "this is no profile: {why}"),
        }
    }
}

impl std::error::Error for ProfileError {}

impl Default for Profile {
    fn default() -> Self {
        Self { version: VERSION, columns: BTreeMap::new() }
    }
}

impl Profile {
    /// Takes one value of a column. The first that is not missing decides whether the column is numbers.
    pub fn add(&mut self, column: &str, value: &Observed) -> Result<(), ProfileError> {
        if !self.columns.contains_key(column) {
            if self.columns.len() == MOST_COLUMNS {
                return Err(ProfileError::TooManyColumns);
            }
            self.columns.insert(column.to_owned(), Column::of(value));
        }
        let Some(entry) = self.columns.get_mut(column) else { return Ok(()) };
        // So far all were missing.
        if let (Column::Categories(categories), Observed::Number(_)) = (&*entry, value)
            && categories.counts.is_empty()
        {
            *entry = Column::Numbers(Numbers { missing: categories.missing, ..Numbers::default() });
        }
        match (entry, value) {
            (Column::Numbers(numbers), Observed::Number(number)) => numbers.add(*number),
            (Column::Numbers(numbers), Observed::Missing) => numbers.missing += 1,
            (Column::Categories(categories), Observed::Category(name)) => categories.add(name),
            (Column::Categories(categories), Observed::Missing) => categories.missing += 1,
            _ => return Err(ProfileError::Mixed(column.to_owned())),
        }
        Ok(())
    }

    /// Adds all of another, or nothing when a column is mixed.
    pub fn merge(&mut self, other: &Self) -> Result<(), ProfileError> {
        let mut merged = self.clone();
        for (name, theirs) in &other.columns {
            match (merged.columns.get_mut(name), theirs) {
                (None, _) => drop(merged.columns.insert(name.clone(), theirs.clone())),
                (Some(Column::Numbers(mine)), Column::Numbers(theirs)) => mine.merge(theirs),
                (Some(Column::Categories(mine)), Column::Categories(theirs)) => mine.merge(theirs),
                _ => return Err(ProfileError::Mixed(name.clone())),
            }
        }
        if merged.columns.len() > MOST_COLUMNS {
            return Err(ProfileError::TooManyColumns);
        }
        *self = merged;
        Ok(())
    }

    /// The columns by name.
    pub fn columns(&self) -> &BTreeMap<String, Column> {
        &self.columns
    }

    /// The profile as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Profile::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, ProfileError> {
        let unreadable = |why: String| ProfileError::Unreadable(why);
        let profile: Self = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        if profile.version != VERSION {
            return Err(unreadable(format!("version {} is not {VERSION}", profile.version)));
        }
        if profile.columns.len() > MOST_COLUMNS {
            return Err(ProfileError::TooManyColumns);
        }
        let unsound = profile.columns.iter().find(|(_, column)| !column.is_sound());
        match unsound {
            Some((name, _)) => Err(unreadable(format!("the counts of column {name:?} do not add up"))),
            None => Ok(profile),
        }
    }
}

impl Column {
    fn of(value: &Observed) -> Self {
        match value {
            Observed::Number(_) => Self::Numbers(Numbers::default()),
            _ => Self::Categories(Categories::default()),
        }
    }

    fn is_sound(&self) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.sketch.is_sound() && numbers.moments.count == numbers.sketch.count(),
            Self::Categories(categories) => categories.counts.len() <= 2 * MOST_CATEGORIES,
        }
    }
}

impl Numbers {
    fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.missing += 1;
            return;
        }
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        self.moments.add(value);
        self.sketch.add(value);
    }

    fn merge(&mut self, other: &Self) {
        self.missing += other.missing;
        self.min = self.min.into_iter().chain(other.min).reduce(f64::min);
        self.max = self.max.into_iter().chain(other.max).reduce(f64::max);
        self.moments = self.moments.merged(other.moments);
        self.sketch.merge(&other.sketch);
    }
}

impl Categories {
    fn add(&mut self, name: &str) {
        match self.counts.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(name.to_owned(), 1);
                self.shrink();
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.missing += other.missing;
        self.other += other.other;
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        self.shrink();
    }

    /// Twice as many names as are kept may gather before the rarest go, so that it is done seldom.
    fn shrink(&mut self) {
        if self.counts.len() <= 2 * MOST_CATEGORIES {
            return;
        }
        let mut order: Vec<(u64, String)> = std::mem::take(&mut self.counts).into_iter().map(|(n, c)| (c, n)).collect();
        order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        self.other += order.drain(MOST_CATEGORIES..).map(|(count, _)| count).sum::<u64>();
        self.counts = order.into_iter().map(|(count, name)| (name, count)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::uniform_draws;

    fn rows(seed: u64, n: u64) -> Profile {
        let mut profile = Profile::default();
        for draw in uniform_draws(seed, n) {
            let age = if draw < 0.1 { Observed::Missing } else { Observed::Number((draw * 640.0).floor() / 8.0) };
            profile.add("age", &age).unwrap();
            profile.add("city", &Observed::Category(format!("c{}", (draw * 5.0) as u32))).unwrap();
        }
        profile
    }

    #[test]
    fn parts_make_the_whole() {
        let mut parts = rows(1, 500);
        parts.merge(&rows(2, 700)).unwrap();
        let Column::Numbers(age) = &parts.columns()["age"] else { panic!("no numbers") };
        assert_eq!(age.missing + age.moments.count, 1_200);
        assert_eq!(age.moments.count, age.sketch.count());
        assert!(age.min >= Some(7.875) && age.max < Some(80.0));
        let Column::Categories(city) = &parts.columns()["city"] else { panic!("no categories") };
        assert_eq!((city.counts.values().sum::<u64>(), city.counts.len()), (1_200, 5));
        let read = Profile::from_json(&parts.to_json()).unwrap();
        let Column::Numbers(again) = &read.columns()["age"] else { panic!("no numbers") };
        assert_eq!((&again.sketch, again.min, again.missing), (&age.sketch, age.min, age.missing));
        assert_eq!(read.columns()["city"], parts.columns()["city"]);
    }

    #[test]
    fn columns_are_of_one_sort() {
        let mut profile = Profile::default();
        profile.add("a", &Observed::Missing).unwrap();
        profile.add("a", &Observed::Number(f64::INFINITY)).unwrap();
        profile.add("a", &Observed::Number(1.0)).unwrap();
        let before = profile.clone();
        let mixed = profile.add("a", &Observed::Category("x".into()));
        assert_eq!(mixed, Err(ProfileError::Mixed("a".into())));
        let mut other = Profile::default();
        other.add("a", &Observed::Category("x".into())).unwrap();
        assert!(profile.merge(&other).is_err());
        assert_eq!(profile, before);
        let Column::Numbers(numbers) = &profile.columns()["a"] else { panic!("no numbers") };
        assert_eq!((numbers.missing, numbers.moments.count), (2, 1));
    }

    #[test]
    fn rare_categories_are_counted_together() {
        let mut profile = Profile::default();
        for at in 0..3_000u32 {
            profile.add("id", &Observed::Category(at.to_string())).unwrap();
            profile.add("id", &Observed::Category("common".into())).unwrap();
        }
        let Column::Categories(ids) = &profile.columns()["id"] else { panic!("no categories") };
        assert!(ids.counts.len() <= 2 * MOST_CATEGORIES);
        assert_eq!(ids.counts["common"], 3_000);
        assert_eq!(ids.counts.values().sum::<u64>() + ids.other, 6_000);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        for text in [
            "{}",
            r#"{"version":2,"columns":{}}"#,
            r#"{"version":1,"columns":{"a":{"type":"numbers","missing":0,"min":null,"max":null,
                "moments":{"count":9,"mean":0.0,"squares":0.0},"sketch":{"count":9,"rankError":0,"levels":[[1.0]]}}}}"#,
        ] {
            assert!(matches!(Profile::from_json(text), Err(ProfileError::Unreadable(_))), "{text}");
        }
    }
}
