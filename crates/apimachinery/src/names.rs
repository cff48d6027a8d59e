//! Syntax of names, labels and annotations. Each check gives the API server's own sentence, so that clients and people
//! read what they know.

use std::fmt::Write;

/// The longest label, and the longest name part of a qualified name.
pub const LABEL_MAX: usize = 63;
/// The longest DNS subdomain, the usual limit of object names.
pub const SUBDOMAIN_MAX: usize = 253;
/// The most bytes of keys and values of an object's annotations together.
pub const ANNOTATIONS_MAX: usize = 256 * 1024;

const GENERATED_SUFFIX_LEN: usize = 5;
const GENERATED_BASE_MAX: usize = LABEL_MAX - GENERATED_SUFFIX_LEN;
/// No vowels and nothing that looks like one, so that no words come out.
const GENERATED_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

const LABEL_PATTERN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_PATTERN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_PATTERN: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_PATTERN: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE_PATTERN: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

const QUALIFIED_RULE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// Which names a kind accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// Lower-case words joined by dots, up to 253 characters; what most kinds use.
    Dns1123Subdomain,
    /// A lower-case word of up to 63 characters, such as a namespace's name.
    Dns1123Label,
    /// A lower-case word that starts with a letter, such as a service's name.
    Dns1035Label,
    /// Anything that fits one segment of a path, such as the names of RBAC's kinds.
    PathSegment,
}

impl NameRule {
    /// Whether `name` is acceptable.
    ///
    /// # Errors
    /// The API server's sentence about the rule.
    pub fn check(self, name: &str) -> Result<(), String> {
        match self {
            Self::Dns1123Subdomain => dns1123_subdomain(name),
            Self::Dns1123Label => dns1123_label(name),
            Self::Dns1035Label => dns1035_label(name),
            Self::PathSegment => path_segment_name(name),
        }
    }

    /// Whether `prefix` can start acceptable names, as `generateName` does; a trailing dash is fine there.
    ///
    /// # Errors
    /// The API server's sentence about the rule.
    pub fn check_prefix(self, prefix: &str) -> Result<(), String> {
        match self {
            Self::PathSegment => path_segment_characters(prefix),
            _ => match prefix.strip_suffix('-') {
                Some(start) if !start.is_empty() => self.check(&format!("{start}a")),
                _ => self.check(prefix),
            },
        }
    }
}

/// A label of RFC 1123.
///
/// # Errors
/// The API server's sentence about the rule.
pub fn dns1123_label(text: &str) -> Result<(), String> {
    let mut faults = Faults::default();
    faults.length(text, LABEL_MAX);
    if !is_label(text) {
        if is_subdomain(text) {
            faults.add("must not contain dots");
        } else {
            faults.pattern(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
                 and must start and end with an alphanumeric character",
                LABEL_PATTERN,
                &["my-name", "123-abc"],
            );
        }
    }
    faults.into_result()
}

/// Labels of RFC 1123 joined by dots.
///
/// # Errors
/// The API server's sentence about the rule.
pub fn dns1123_subdomain(text: &str) -> Result<(), String> {
    let mut faults = Faults::default();
    faults.length(text, SUBDOMAIN_MAX);
    if !is_subdomain(text) {
        faults.pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
             and must start and end with an alphanumeric character",
            SUBDOMAIN_PATTERN,
            &["example.com"],
        );
    }
    faults.into_result()
}

/// A label of RFC 1035.
///
/// # Errors
/// The API server's sentence about the rule.
pub fn dns1035_label(text: &str) -> Result<(), String> {
    let mut faults = Faults::default();
    faults.length(text, LABEL_MAX);
    if !is_label(text) || text.starts_with(|c: char| c.is_ascii_digit()) {
        faults.pattern(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
             start with an alphabetic character, and end with an alphanumeric character",
            DNS1035_PATTERN,
            &["my-name", "abc-123"],
        );
    }
    faults.into_result()
}

/// A name that can stand as one segment of a URL's path.
///
/// # Errors
/// The API server's sentence about the rule.
pub fn path_segment_name(text: &str) -> Result<(), String> {
    if text == "." || text == ".." {
        return Err(format!("may not be '{text}'"));
    }
    path_segment_characters(text)
}

fn path_segment_characters(text: &str) -> Result<(), String> {
    let mut faults = Faults::default();
    for illegal in ['/', '%'] {
        if text.contains(illegal) {
            faults.add(&format!("may not contain '{illegal}'"));
        }
    }
    faults.into_result()
}

/// The key of a label: a name of up to 63 characters, with a DNS subdomain and a slash before it if need be.
///
/// # Errors
/// The API server's sentence about the rule.
pub fn qualified_name(text: &str) -> Result<(), String> {
    const EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];
    let mut faults = Faults::default();
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if name.contains('/') {
        let rule = format!("a valid label key {}", pattern_fault(QUALIFIED_RULE, QUALIFIED_PATTERN, &EXAMPLES));
        return Err(rule + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
    }
    match prefix {
        None => {}
        Some("") => faults.add("prefix part must be non-empty"),
        Some(prefix) => {
            if let Err(fault) = dns1123_subdomain(prefix) {
                faults.add(&format!("prefix part {fault}"));
            }
        }
    }
    if name.is_empty() {
        faults.add("name part must be non-empty");
    } else if name.len() > LABEL_MAX {
        faults.add(&format!("name part {}", length_fault(LABEL_MAX)));
    }
    if !is_qualified_part(name) {
        faults.add(&format!("name part {}", pattern_fault(QUALIFIED_RULE, QUALIFIED_PATTERN, &EXAMPLES)));
    }
    faults.into_result()
}

/// The value of a label: empty, or up to 63 characters.
///
/// # Errors
/// The API server's sentence about the rule.
pub fn label_value(text: &str) -> Result<(), String> {
    let mut faults = Faults::default();
    faults.length(text, LABEL_MAX);
    if !text.is_empty() && !is_qualified_part(text) {
        faults.pattern(
            &format!("a valid label must be an empty string or {}", &QUALIFIED_RULE["must ".len()..]),
            LABEL_VALUE_PATTERN,
            &["MyValue", "my_value", "12345"],
        );
    }
    faults.into_result()
}

/// The key of an annotation: a qualified name in any case.
///
/// # Errors
/// The API server's sentence about the rule.
pub fn annotation_key(text: &str) -> Result<(), String> {
    qualified_name(&text.to_ascii_lowercase())
}

/// Whether an object's annotations are together within [`ANNOTATIONS_MAX`].
///
/// # Errors
/// The API server's sentence about the limit.
pub fn annotations_size<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), String> {
    let size: usize = annotations.into_iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_MAX {
        return Err(format!("may not be more than {ANNOTATIONS_MAX} bytes"));
    }
    Ok(())
}

/// `base`, cut to fit a label, with five characters picked by `random`.
pub fn generate_name(base: &str, mut random: impl FnMut() -> u32) -> String {
    let end = base.len().min(GENERATED_BASE_MAX);
    let end = (0..=end).rev().find(|end| base.is_char_boundary(*end)).unwrap_or(0);
    let mut name = base[..end].to_owned();
    for _ in 0..GENERATED_SUFFIX_LEN {
        // The modulo favours some letters by less than one in a hundred million.
        let index = random() as usize % GENERATED_ALPHABET.len();
        name.push(char::from(GENERATED_ALPHABET[index]));
    }
    name
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    framed(text.as_bytes(), plain, |byte| plain(byte) || byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_qualified_part(text: &str) -> bool {
    framed(
        text.as_bytes(),
        |byte| byte.is_ascii_alphanumeric(),
        |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte),
    )
}

fn framed(text: &[u8], edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    match text {
        [] => false,
        [first, .., last] if !edge(*first) || !edge(*last) => false,
        [only] => edge(*only),
        all => all.iter().all(|byte| inner(*byte)),
    }
}

fn length_fault(most: usize) -> String {
    format!("must be no more than {most} bytes")
}

fn pattern_fault(rule: &str, pattern: &str, examples: &[&str]) -> String {
    let mut text = format!("{rule} (e.g. ");
    for (index, example) in examples.iter().enumerate() {
        // The API server's own spacing; scripts match on it.
        let or = if index > 0 { " or " } else { "" };
        let _ = write!(text, "{or}'{example}', ");
    }
    let _ = write!(text, "regex used for validation is '{pattern}')");
    text
}

/// Collects the broken rules of one text.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: &str) {
        self.0.push(fault.to_owned());
    }

    fn length(&mut self, text: &str, most: usize) {
        if text.len() > most {
            self.0.push(length_fault(most));
        }
    }

    fn pattern(&mut self, rule: &str, pattern: &str, examples: &[&str]) {
        self.0.push(pattern_fault(rule, pattern, examples));
    }

    fn into_result(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_and_subdomains() {
        for good in ["a", "0", "a-b", "123-abc", &"a".repeat(63)] {
            assert_eq!(dns1123_label(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "ä", "a b"] {
            assert!(dns1123_label(bad).is_err() && dns1123_subdomain(bad).is_err(), "{bad}");
        }
        assert_eq!(dns1123_subdomain("istio-gw.prod.example.com"), Ok(()));
        assert!(dns1123_subdomain("a..b").is_err() && dns1123_subdomain("a.").is_err());
        assert_eq!(dns1123_label("a.b").unwrap_err(), "must not contain dots");
        assert_eq!(dns1123_label(&"a".repeat(64)).unwrap_err(), "must be no more than 63 bytes");
        assert_eq!(dns1123_subdomain(&"a".repeat(254)).unwrap_err(), "must be no more than 253 bytes");
        assert!(dns1035_label("1a").is_err() && dns1035_label("a1").is_ok());
    }

    #[test]
    fn sentences_are_the_api_servers() {
        assert_eq!(
            dns1123_subdomain("A_b").unwrap_err(),
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        );
        assert_eq!(
            dns1123_label("A").unwrap_err(),
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
             end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        );
        assert_eq!(
            label_value("a b").unwrap_err(),
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
             for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        );
    }

    #[test]
    fn qualified_names() {
        for good in ["app", "App.kubernetes_io", "app.kubernetes.io/name", "a/B"] {
            assert_eq!(qualified_name(good), Ok(()), "{good}");
        }
        for (bad, start) in [
            ("", "name part must be non-empty; name part must consist of"),
            ("/a", "prefix part must be non-empty"),
            ("a/", "name part must be non-empty"),
            ("A.com/a", "prefix part a lowercase RFC 1123 subdomain"),
            ("a/b/c", "a valid label key must consist of"),
            ("-a", "name part must consist of"),
        ] {
            let fault = qualified_name(bad).unwrap_err();
            assert!(fault.starts_with(start), "{bad}: {fault}");
        }
        assert_eq!(qualified_name(&"a".repeat(64)).unwrap_err(), "name part must be no more than 63 bytes");
        assert_eq!(label_value(""), Ok(()));
        assert!(annotation_key("Example.com/A").is_ok());
    }

    #[test]
    fn path_segments() {
        assert_eq!(path_segment_name("system:controller:gc"), Ok(()));
        assert_eq!(path_segment_name("..").unwrap_err(), "may not be '..'");
        assert_eq!(path_segment_name("a/b%").unwrap_err(), "may not contain '/'; may not contain '%'");
        assert!(NameRule::PathSegment.check_prefix("..").is_ok());
    }

    #[test]
    fn prefixes_may_end_in_a_dash() {
        assert!(NameRule::Dns1123Label.check("job-").is_err());
        assert!(NameRule::Dns1123Label.check_prefix("job-").is_ok());
        assert!(NameRule::Dns1123Subdomain.check_prefix("-").is_err());
    }

    #[test]
    fn annotations_have_a_total_size() {
        let value = "v".repeat(ANNOTATIONS_MAX - 1);
        assert_eq!(annotations_size([("k", value.as_str())]), Ok(()));
        assert_eq!(annotations_size([("kk", value.as_str())]).unwrap_err(), "may not be more than 262144 bytes");
    }

    #[test]
    fn generated_names_fit_a_label() {
        let mut state = 0;
        let mut random = || {
            state += 7;
            state
        };
        assert_eq!(generate_name("job-", &mut random), "job-ks4cl");
        assert_eq!(generate_name(&"a".repeat(80), &mut random).len(), 63);
        assert!(generate_name(&"ä".repeat(80), &mut random).starts_with(&"ä".repeat(29)));
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in "\\PC{0,80}") {
            for rule in [NameRule::Dns1123Subdomain, NameRule::Dns1123Label, NameRule::Dns1035Label, NameRule::PathSegment] {
                prop_assert!(rule.check(&text).is_err() || rule.check_prefix(&text).is_ok());
            }
            let _ = (qualified_name(&text), label_value(&text), annotation_key(&text));
        }

        #[test]
        fn names_generated_from_a_good_prefix_are_good(base in "[a-z][a-z0-9-]{0,70}", seed: u32) {
            let mut state = seed;
            let name = generate_name(&base, || { state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); state });
            prop_assert_eq!(dns1123_label(&name), Ok(()));
        }
    }
}
