//! Time zones by name.

use jiff::tz::TimeZone;

/// The time zone of `CronJob.spec.timeZone`; the error is in Kubernetes' words.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    if name.is_empty() {
        return Err("timeZone must be nil or non-empty string".to_owned());
    }
    if name.eq_ignore_ascii_case("local") {
        return Err("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones".to_owned());
    }
    TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_zones() {
        assert!(zone("Europe/Berlin").is_ok());
        assert!(zone("UTC").is_ok());
        for (bad, part) in
            [("", "non-empty"), ("Local", "explicit"), ("Mars/Olympus", "unknown time zone Mars/Olympus")]
        {
            assert!(zone(bad).unwrap_err().contains(part), "{bad:?}");
        }
    }
}
