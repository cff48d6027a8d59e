//! Point-in-time joins: to each event, the features as they were known when it happened.
//!
//! For an event of an entity at time *t*, a row of a view counts if it is of that entity and
//! - happened by then: `event timestamp <= t`;
//! - was known by then: `created timestamp <= t`, where the view has such a column. A correction that arrives later is not
//!   seen;
//! - is fresh: `event timestamp >= t - ttl`, where the view has a time to live.
//!
//! Of the rows that count, the one with the latest event timestamp is taken; of several, the one that was created last; of
//! several still, the last in the order of the table. A row whose entity or times are null never counts, and an event whose
//! entity or time is null finds nothing. Events keep their order and number.
//!
//! # How
//! A row becomes *visible* at `max(event timestamp, created timestamp)` and stays so. What an entity looks like is thus a
//! step function of time: at each moment the greatest visible row by (event timestamp, created timestamp, order), which
//! changes only when a greater one becomes visible. The greatest has the latest event timestamp, so if it is too old for
//! the ttl, every other one is too. [`steps::Steps`] sorts the rows of a view by entity and visibility once, keeps the
//! changes, and answers an event by bisection: O((n + m) log m), however late corrections come.
//!
//! # Memory
//! Each table is read twice: keys and times first, values after. Held are, of each event, 8 bytes and 4 more for each view and
//! each set of entity columns; of one view at a time, 32 bytes for each row that some event could see; and the values of the
//! rows that events did see, each once. Neither side is held whole, and nothing spills: a training set whose *used* feature
//! rows don't fit into memory must be joined in parts.

mod columns;
mod gather;
mod keys;
mod service;
mod spec;
mod steps;
mod times;

pub use service::{Joined, join};
pub use spec::{Events, FACTS_KEY, View, ViewFacts};
