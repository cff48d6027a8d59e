//! Finds placeholders in a text.

/// Steps of a placeholder's path, and bytes of a key: nothing longer is a placeholder, which keeps the scan linear.
const MAX_STEPS: usize = 6;
const MAX_KEY: usize = 256;

#[derive(Debug, PartialEq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    /// `path` is empty for `{{$}}`.
    Placeholder {
        whole: &'a str,
        path: Vec<&'a str>,
    },
}

/// The text as texts and placeholders, in order.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    let mut ready = None;
    std::iter::from_fn(move || {
        if let Some(part) = ready.take() {
            return Some(part);
        }
        let mut from = 0;
        while let Some(found) = rest[from..].find("{{$") {
            let start = from + found;
            let Some((path, length)) = placeholder(&rest[start..]) else {
                from = start + 3;
                continue;
            };
            let (before, whole) = (&rest[..start], &rest[start..start + length]);
            rest = &rest[start + length..];
            let part = Part::Placeholder { whole, path };
            if before.is_empty() {
                return Some(part);
            }
            ready = Some(part);
            return Some(Part::Text(before));
        }
        (!rest.is_empty()).then(|| Part::Text(std::mem::take(&mut rest)))
    })
}

/// The path of the placeholder at the beginning of the text, and how many bytes it takes.
fn placeholder(text: &str) -> Option<(Vec<&str>, usize)> {
    let mut at = "{{$".len();
    let mut path = Vec::new();
    loop {
        let rest = &text[at..];
        if rest.starts_with("}}") {
            return Some((path, at + 2));
        }
        if path.len() == MAX_STEPS {
            return None;
        }
        if let Some(rest) = rest.strip_prefix('.') {
            let bytes = rest.as_bytes().iter().take(MAX_KEY);
            let length = bytes.take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            if length == 0 {
                return None;
            }
            path.push(&rest[..length]);
            at += 1 + length;
        } else {
            let quote = ["['", "[\""].into_iter().find(|open| rest.starts_with(open))?;
            let inner = &rest[2..];
            let close = if quote == "['" { b"']" } else { b"\"]" };
            let length = inner.as_bytes().windows(2).take(MAX_KEY).position(|pair| pair == close)?;
            path.push(&inner[..length]);
            at += 2 + length + 2;
        }
    }
}
