//! How a file is handed out: always as an attachment, so that no browser runs what a run has left.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use mcplane_blobs::{ByteRange, Object};

/// Extensions, and whole names, of files that are text whatever else they are.
const TEXT: &[&str] = &[
    "MLmodel",
    "MLproject",
    "mlproject",
    "c",
    "cfg",
    "conda",
    "conf",
    "cpp",
    "css",
    "csv",
    "go",
    "h",
    "hpp",
    "html",
    "ini",
    "java",
    "js",
    "json",
    "jsonl",
    "log",
    "md",
    "patch",
    "properties",
    "proto",
    "py",
    "r",
    "rs",
    "rst",
    "scala",
    "sh",
    "sql",
    "svg",
    "toml",
    "ts",
    "tsv",
    "txt",
    "xml",
    "yaml",
    "yml",
];
const IMAGES: &[(&str, &str)] = &[
    ("bmp", "image/bmp"),
    ("gif", "image/gif"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("png", "image/png"),
    ("webp", "image/webp"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("wav", "audio/x-wav"),
    ("zip", "application/zip"),
];

/// The headers of a file's answer, whose body has the length of `object.range`.
pub(super) fn of(name: &str, object: &Object) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, content_type(name).to_owned());
    put(header::CONTENT_DISPOSITION, attachment(name));
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
    put(header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'".to_owned());
    put(header::ACCEPT_RANGES, "bytes".to_owned());
    put(header::CONTENT_LENGTH, (object.range.end - object.range.start).to_string());
    if object.range != (0..object.meta.size) {
        let last = object.range.end.saturating_sub(1);
        put(header::CONTENT_RANGE, format!("bytes {}-{last}/{}", object.range.start, object.meta.size));
    }
    headers
}

fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or(name, |(_, extension)| extension);
    let known = IMAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension)).map(|(_, kind)| *kind);
    if TEXT.contains(&extension) { "text/plain" } else { known.unwrap_or("application/octet-stream") }
}

/// RFC 6266: a name in ASCII, quoted where it is no token, and the whole name beside it if there is more to it.
fn attachment(name: &str) -> String {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !name.is_empty() && name.chars().all(token) {
        return format!("attachment; filename={name}");
    }
    let ascii: String = name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    let ascii = if ascii.is_empty() { "download".to_owned() } else { ascii.replace('\\', "\\\\").replace('"', "\\\"") };
    let mut value = format!("attachment; filename=\"{ascii}\"");
    if !name.is_ascii() {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                value.push(char::from(byte));
            } else {
                // Writing to a String can't fail.
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}

/// The one range that a request asks for; more than one, or another unit, may be ignored by RFC 9110.
pub(crate) fn range(headers: &HeaderMap) -> Option<ByteRange> {
    let text = headers.get(header::RANGE)?.to_str().ok()?.trim().strip_prefix("bytes=")?;
    let (first, last) = text.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => last.parse().ok().map(ByteRange::Last),
        (first, "") => first.parse().ok().map(ByteRange::From),
        (first, last) => Some(ByteRange::FromTo(first.parse().ok()?, last.parse().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_they_need() {
        assert_eq!(attachment("MLmodel"), "attachment; filename=MLmodel");
        assert_eq!(attachment("a b\".txt"), "attachment; filename=\"a b\\\".txt\"");
        assert_eq!(attachment("ä.txt"), "attachment; filename=\".txt\"; filename*=UTF-8''%C3%A4.txt");
        assert_eq!(attachment("日本"), "attachment; filename=\"download\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC");
    }

    #[test]
    fn text_is_shown_as_text() {
        for (name, kind) in [
            ("MLmodel", "text/plain"),
            ("a.html", "text/plain"),
            ("model.pkl", "application/octet-stream"),
            ("a.PNG", "image/png"),
        ] {
            assert_eq!(content_type(name), kind, "{name}");
        }
    }

    #[test]
    fn one_range_is_read() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(text));
            range(&headers)
        };
        assert_eq!(read("bytes=0-4"), Some(ByteRange::FromTo(0, 4)));
        assert_eq!(read("bytes=5-"), Some(ByteRange::From(5)));
        assert_eq!(read("bytes=-3"), Some(ByteRange::Last(3)));
        for ignored in ["bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=-"] {
            assert_eq!(read(ignored), None, "{ignored}");
        }
    }
}
