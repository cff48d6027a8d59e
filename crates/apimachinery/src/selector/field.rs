//! Field selectors: `metadata.name=a,status.phase!=Running`, with `\\`, `\,` and `\=` for these characters in values.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{ParseSelectorError, check_count, check_length};

/// One comparison of a field with a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldRequirement {
    field: String,
    equal: bool,
    value: String,
}

impl FieldRequirement {
    /// The path of the field, such as `metadata.name`.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Whether the field must have the value, or must not.
    pub fn is_equal(&self) -> bool {
        self.equal
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Comparisons that must all hold. The default one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The comparisons, in the order of the text.
    pub fn requirements(&self) -> impl Iterator<Item = &FieldRequirement> {
        self.requirements.iter()
    }

    /// Whether all comparisons hold. A field that `value_of` does not know is empty, as in Kubernetes.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = value_of(&requirement.field).unwrap_or_default();
            (value == requirement.value.as_str()) == requirement.equal
        })
    }

    /// The value that `field` must have, if the selector says.
    pub fn exact(&self, field: &str) -> Option<&str> {
        let mut requirements = self.requirements.iter();
        requirements.find(|requirement| requirement.equal && requirement.field == field).map(FieldRequirement::value)
    }

    /// The one name that is selected.
    pub fn name(&self) -> Option<&str> {
        self.exact("metadata.name")
    }

    /// The one namespace that is selected.
    pub fn namespace(&self) -> Option<&str> {
        self.exact("metadata.namespace")
    }
}

impl FromStr for FieldSelector {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, ParseSelectorError> {
        check_length(text)?;
        let mut requirements = Vec::new();
        for term in split_terms(text).filter(|term| !term.is_empty()) {
            let (field, equal, value) = split_term(term)
                .filter(|(field, ..)| !field.is_empty())
                .ok_or_else(|| ParseSelectorError(format!("invalid selector: '{text}'; can't understand '{term}'")))?;
            requirements.push(FieldRequirement { field: field.to_owned(), equal, value: unescape(value)? });
        }
        check_count(requirements.len())?;
        Ok(Self { requirements })
    }
}

/// Splits at commas without a backslash before them.
fn split_terms(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let separates = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
}

/// Splits at the first operator into field, equality and escaped value.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find('=')?;
    let value = &term[at + 1..];
    match term[..at].strip_suffix('!') {
        Some(field) => Some((field, false, value)),
        None => Some((&term[..at], true, value.strip_prefix('=').unwrap_or(value))),
    }
}

fn unescape(text: &str) -> Result<String, ParseSelectorError> {
    let mut value = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => value.push(escaped),
                other => {
                    let sequence: String = [character].into_iter().chain(other).collect();
                    let fault = format!("invalid field selector: invalid escape sequence: {sequence}");
                    return Err(ParseSelectorError(fault));
                }
            },
            ',' | '=' => {
                let fault = format!("invalid field selector: unescaped character in value: {character}");
                return Err(ParseSelectorError(fault));
            }
            plain => value.push(plain),
        }
    }
    Ok(value)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if requirement.equal { "=" } else { "!=" };
            write!(f, "{comma}{}{operator}", requirement.field)?;
            for character in requirement.value.chars() {
                if matches!(character, '\\' | ',' | '=') {
                    f.write_str("\\")?;
                }
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> FieldSelector {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn fault(text: &str) -> String {
        text.parse::<FieldSelector>().unwrap_err().to_string()
    }

    #[test]
    fn comparisons_are_all_of_them() {
        let selector = parse("metadata.name=a,status.phase!=Running,,spec.x==");
        let object = |phase: &'static str| {
            move |field: &str| match field {
                "metadata.name" => Some(Cow::Borrowed("a")),
                "status.phase" => Some(Cow::Borrowed(phase)),
                _ => None,
            }
        };
        assert!(selector.matches(object("Pending")));
        assert!(!selector.matches(object("Running")));
        assert_eq!((selector.name(), selector.namespace()), (Some("a"), None));
        assert_eq!(selector.to_string(), "metadata.name=a,status.phase!=Running,spec.x=");
        assert!(parse("").is_empty() && parse(",").is_empty());
        assert_eq!(parse("metadata.namespace!=x").namespace(), None);
    }

    #[test]
    fn values_are_escaped() {
        let selector = parse(r"a=x\,y\=z\\,b!=\=");
        let values: Vec<&str> = selector.requirements().map(FieldRequirement::value).collect();
        assert_eq!(values, [r"x,y=z\", "="]);
        assert_eq!(selector.to_string(), r"a=x\,y\=z\\,b!=\=");
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(fault("a"), "invalid selector: 'a'; can't understand 'a'");
        assert_eq!(fault("b=1,=x"), "invalid selector: 'b=1,=x'; can't understand '=x'");
        assert_eq!(fault(r"a=\x"), r"invalid field selector: invalid escape sequence: \x");
        assert_eq!(fault(r"a=b\"), r"invalid field selector: invalid escape sequence: \");
        assert_eq!(fault("a=b=c"), "invalid field selector: unescaped character in value: =");
        assert_eq!(fault(&"a=b,".repeat(257)), "a selector may not have more than 256 requirements");
        assert!(fault(&"a".repeat(70_000)).contains("longer than 65536 bytes"));
    }

    proptest! {
        #[test]
        fn what_is_parsed_round_trips(text in r"[a\\,=! é]{0,24}") {
            if let Ok(selector) = text.parse::<FieldSelector>() {
                prop_assert_eq!(parse(&selector.to_string()), selector);
            }
        }

        #[test]
        fn any_value_can_be_written(value in "\\PC{0,30}", equal: bool) {
            let requirement = FieldRequirement { field: "spec.x".to_owned(), equal, value: value.clone() };
            let selector = FieldSelector { requirements: vec![requirement] };
            prop_assert_eq!(parse(&selector.to_string()), selector.clone());
            prop_assert_eq!(selector.matches(|_| Some(Cow::Borrowed(value.as_str()))), equal);
        }
    }
}
