//! What a filter or an order means, after every check that needs no data.

/// One comparison of a filter. The comparisons of a filter are joined by AND.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub field: Field,
    /// How.
    pub op: Operator,
    /// With what. [`Value::Null`] exactly for [`Operator::IsNull`] and [`Operator::IsNotNull`], [`Value::TextList`]
    /// exactly for [`Operator::In`] and [`Operator::NotIn`].
    pub value: Value,
}

/// One part of an order; earlier parts weigh more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What is sorted by.
    pub field: Field,
    /// Smallest first.
    pub ascending: bool,
}

/// What a comparison or an order refers to. Each entity kind allows some of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// The latest value of a metric.
    Metric(String),
    /// A parameter.
    Param(String),
    /// A tag.
    Tag(String),
    /// A column of the entity, by the one name that its module documents (aliases are resolved).
    Attribute(&'static str),
    /// A property of any dataset that is an input of the run.
    Dataset(DatasetKey),
    /// An entry of a trace's metadata.
    Metadata(String),
    /// A property of any span of the trace: `name`, `type`, `status`, `content` or `attributes.KEY`.
    Span(String),
    /// The feedback of that name.
    Feedback(String),
    /// The expectation of that name.
    Expectation(String),
    /// The id of an issue that refers to the trace.
    IssueId,
}

/// Property of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatasetKey {
    /// Its name.
    Name,
    /// Its digest.
    Digest,
    /// What the run used it for: the tag `mlflow.data.context` of the input.
    Context,
}

impl DatasetKey {
    pub(super) fn parse(key: &str) -> Option<Self> {
        match key {
            "name" => Some(Self::Name),
            "digest" => Some(Self::Digest),
            "context" => Some(Self::Context),
            _ => None,
        }
    }
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `LIKE`: `%` is any text, `_` any character, case matters, nothing escapes. See [`super::like`].
    Like,
    /// `ILIKE`: as [`Operator::Like`] with case ignored.
    ILike,
    /// `RLIKE`: a regular expression (traces only).
    RLike,
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
    /// `IS NULL`: there is no such entry.
    IsNull,
    /// `IS NOT NULL`: there is such an entry.
    IsNotNull,
}

impl Operator {
    const ALL: [Self; 13] = [
        Self::Eq,
        Self::Ne,
        Self::Lt,
        Self::Le,
        Self::Gt,
        Self::Ge,
        Self::Like,
        Self::ILike,
        Self::RLike,
        Self::In,
        Self::NotIn,
        Self::IsNull,
        Self::IsNotNull,
    ];

    /// As it is written in a filter. SQL understands all of them but `ILIKE` and `RLIKE` with the same meaning, and
    /// `LIKE` only where it respects case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Like => "LIKE",
            Self::ILike => "ILIKE",
            Self::RLike => "RLIKE",
            Self::In => "IN",
            Self::NotIn => "NOT IN",
            Self::IsNull => "IS NULL",
            Self::IsNotNull => "IS NOT NULL",
        }
    }

    /// The operator written exactly so.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == text)
    }
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number for a whole-number column.
    Integer(i64),
    /// Any number; also a whole number beyond 64 bits.
    Number(f64),
    /// The list of an `IN`, never empty.
    TextList(Vec<String>),
    /// Nothing: the operator has no right side.
    Null,
}
