//! Durations as Istio and Go write them.

use std::time::Duration;

/// Reads `1h30m`, `1.5s`, `200ms`; at most a year. `None` for anything else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST_S: f64 = 366.0 * 86_400.0;
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end =
            rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |at| digits + at);
        seconds += number
            * match &rest[digits..unit_end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    (!text.is_empty() && seconds <= LONGEST_S).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        let ms = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("1.5s"), Some(1_500));
        assert_eq!(ms("200ms"), Some(200));
        assert_eq!(ms("0s"), Some(0));
        for wrong in ["", "5", "s", "-1s", "1d", "1..5s", "99999999999h", "1s "] {
            assert_eq!(ms(wrong), None, "{wrong}");
        }
    }
}
