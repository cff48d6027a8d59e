//! Where data is: what the sources of logged datasets and the datasets of OpenLineage have in common.

use serde_json::Value;

use crate::mlflow::fields::python_json;

/// Characters of a source that its index holds.
pub(super) const INDEXED: usize = 200;
/// Fields of a source that hold its place.
const FIELDS: [&str; 3] = ["uri", "url", "path"];

/// A dataset of OpenLineage as one URI; by that standard, namespace and name are its two halves.
pub(super) fn of_openlineage(namespace: &str, name: &str) -> String {
    match namespace {
        "file" => normal(&format!("/{}", name.trim_start_matches('/'))),
        namespace => normal(&format!("{}/{}", namespace.trim_end_matches('/'), name.trim_start_matches('/'))),
    }
}

/// Namespace and name of a place in OpenLineage, if it is a URI with both.
pub(super) fn to_openlineage(place: &str) -> Option<(String, String)> {
    if let Some(path) = place.strip_prefix("file://") {
        return Some(("file".to_owned(), path.to_owned()));
    }
    let (scheme, rest) = place.split_once("://")?;
    let (authority, path) = rest.split_once('/')?;
    (!path.is_empty()).then(|| (format!("{scheme}://{authority}"), path.to_owned()))
}

/// The place in the source of a logged dataset, if it names one.
pub(super) fn of_source(source_type: &str, source: &str) -> Option<String> {
    let Value::Object(source) = serde_json::from_str(source).ok()? else { return None };
    let field = |name: &str| source.get(name).and_then(Value::as_str).filter(|place| !place.is_empty());
    // The path of others, such as Hugging Face, is a name of theirs.
    let tables = matches!(source_type, "delta_table" | "spark");
    let place = field("uri").or_else(|| field("url")).or_else(|| field("path").filter(|_| tables))?;
    (place.contains("://") || place.starts_with('/') || place.starts_with("file:")).then(|| normal(place))
}

/// The sources that clients log for a place, as far as their index holds them.
pub(super) fn sources(place: &str) -> Vec<String> {
    let mut places = vec![place.to_owned()];
    if let Some(path) = place.strip_prefix("file://") {
        places.extend([path.to_owned(), format!("file:{path}")]);
    }
    if let Some(rest) = place.strip_prefix("s3://") {
        places.extend([format!("s3a://{rest}"), format!("s3n://{rest}")]);
    }
    let source = |place: &String| {
        let value = python_json(&place.as_str().into());
        FIELDS.map(|field| format!("{{\"{field}\": {value}}}").chars().take(INDEXED).collect())
    };
    places.iter().flat_map(source).collect()
}

/// One spelling of a place.
fn normal(place: &str) -> String {
    let place = place.trim_end_matches('/');
    if let Some(path) = place.strip_prefix("file:") {
        return format!("file:///{}", path.trim_start_matches('/'));
    }
    if place.starts_with('/') {
        return format!("file:///{}", place.trim_start_matches('/'));
    }
    for other in ["s3a://", "s3n://"] {
        if let Some(rest) = place.strip_prefix(other) {
            return format!("s3://{rest}");
        }
    }
    place.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_spelling() {
        for (namespace, name, place) in [
            ("s3://bucket", "a/b.csv", "s3://bucket/a/b.csv"),
            ("s3a://bucket/", "/a", "s3://bucket/a"),
            ("file", "/data/x.csv", "file:///data/x.csv"),
            ("postgres://db:5432", "shop.public.orders", "postgres://db:5432/shop.public.orders"),
        ] {
            assert_eq!(of_openlineage(namespace, name), place);
        }
        for (kind, source, place) in [
            ("s3", r#"{"uri": "s3://bucket/a/b.csv"}"#, Some("s3://bucket/a/b.csv")),
            ("local", r#"{"uri": "/data/x.csv"}"#, Some("file:///data/x.csv")),
            ("http", r#"{"url": "https://host/x"}"#, Some("https://host/x")),
            ("spark", r#"{"path": "s3a://bucket/t/"}"#, Some("s3://bucket/t")),
            ("hugging_face", r#"{"path": "/imdb"}"#, None),
            ("code", r#"{"tags": {"mlflow.user": "ann"}}"#, None),
            ("local", "no json", None),
        ] {
            assert_eq!(of_source(kind, source).as_deref(), place, "{source}");
        }
    }

    #[test]
    fn sources_are_found_by_their_place() {
        for source in [r#"{"uri": "/data/x.csv"}"#, r#"{"uri": "file:///data/x.csv"}"#, r#"{"path": "/data/x.csv"}"#] {
            assert!(sources("file:///data/x.csv").contains(&source.to_owned()), "{source}");
        }
        assert!(sources("s3://b/ä").contains(&r#"{"uri": "s3://b/\u00e4"}"#.to_owned()));
        assert!(sources(&format!("s3://b/{}", "x".repeat(300))).iter().all(|source| source.len() == INDEXED));
    }

    #[test]
    fn places_have_two_halves() {
        let halves = |place| to_openlineage(place).map(|(namespace, name)| format!("{namespace} {name}"));
        assert_eq!(halves("s3://bucket/a/b.csv").unwrap(), "s3://bucket a/b.csv");
        assert_eq!(halves("file:///data/x").unwrap(), "file /data/x");
        assert_eq!((halves("s3://bucket"), halves("train")), (None, None));
    }
}
