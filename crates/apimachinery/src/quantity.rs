//! Resource quantities such as `100m`, `1.5Gi` or `12e6`: fixed-point numbers that remember how they were written.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The family of suffixes that a quantity was written with and is printed with again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Powers of 1024: `Ki`, `Mi`, `Gi`, `Ti`, `Pi`, `Ei`.
    BinarySi,
    /// Powers of ten as an exponent: `12e6`.
    DecimalExponent,
    /// Powers of 1000: `n`, `u`, `m`, none, `k`, `M`, `G`, `T`, `P`, `E`.
    #[default]
    DecimalSi,
}

/// An exact multiple of 10⁻⁹. Parsing rounds anything finer away from zero, so that whoever asks for something gets
/// something. Binary quantities are capped at ±(2⁶³ − 1), all others and all sums at ±10²⁹.
///
/// Comparison is numeric: `1Ki` equals `1024`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity; the wording is Kubernetes'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// The overall shape is wrong.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number before the suffix is wrong.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANOS: i128 = 1_000_000_000;
const LARGEST: i128 = 10_i128.pow(29) * NANOS;
const LARGEST_BINARY: i128 = i64::MAX as i128 * NANOS;
const DECIMAL_SUFFIXES: [(&str, i64); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY_SUFFIXES: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// A whole number.
    pub fn from_units(units: i64, format: Format) -> Self {
        Self { nanos: i128::from(units) * NANOS, format }
    }

    /// A number of thousandths, such as millicores.
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * 1_000_000, format: Format::DecimalSi }
    }

    /// The exact number of 10⁻⁹.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// The family of suffixes that the quantity is printed with.
    pub fn format(self) -> Format {
        self.format
    }

    /// The number rounded away from zero to a whole one, within the range of the type.
    pub fn value(self) -> i64 {
        self.rounded(NANOS)
    }

    /// The number of thousandths rounded away from zero to a whole one, within the range of the type.
    pub fn milli(self) -> i64 {
        self.rounded(1_000_000)
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is a whole number.
    pub fn is_integer(self) -> bool {
        self.nanos % NANOS == 0
    }

    fn rounded(self, unit: i128) -> i64 {
        let away_from_zero = if self.nanos % unit == 0 { 0 } else { self.nanos.signum() };
        let whole = self.nanos / unit + away_from_zero;
        i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
    }

    /// Kubernetes' rule for results: nothing has no family of its own and takes the other's.
    fn combined(self, other: Self, nanos: i128) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: nanos.clamp(-LARGEST, LARGEST), format }
    }
}

/// Digits of a number with the decimal point moved by an exponent, so that any length and any exponent stay exact.
struct Digits<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    point: i64,
}

impl<'a> Digits<'a> {
    fn new(whole: &'a [u8], fraction: &'a [u8], exponent: i64) -> Self {
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(exponent);
        Self { whole, fraction, point }
    }

    fn is_zero(&self) -> bool {
        self.whole.iter().chain(self.fraction).all(|digit| *digit == b'0')
    }

    /// The number times `unit`, rounded up; `None` if that is out of range.
    fn times(&self, unit: i128) -> Option<i128> {
        if self.is_zero() {
            return Some(0);
        }
        let digits = || self.whole.iter().chain(self.fraction).map(|digit| i128::from(digit - b'0'));
        let before_point = usize::try_from(self.point).unwrap_or(0);

        let mut whole: i128 = 0;
        let mut read = 0;
        for digit in digits().take(before_point) {
            whole = whole.checked_mul(10)?.checked_add(digit)?;
            read += 1;
        }
        if whole != 0 {
            for _ in read..before_point {
                whole = whole.checked_mul(10)?;
            }
        }

        // Horner's rule from the last digit: whatever a division cuts off only matters for rounding up.
        let mut part: i128 = 0;
        let mut rest = false;
        let after_point = (self.whole.len() + self.fraction.len()).saturating_sub(before_point);
        for digit in digits().rev().take(after_point) {
            let sum = digit.checked_mul(unit)?.checked_add(part)?;
            rest |= sum % 10 != 0;
            part = sum / 10;
        }
        let mut zeros_after_point = self.point.min(0).unsigned_abs();
        while part != 0 && zeros_after_point > 0 {
            rest |= part % 10 != 0;
            part /= 10;
            zeros_after_point -= 1;
        }
        whole.checked_mul(unit)?.checked_add(part)?.checked_add(i128::from(rest))
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || !suffix_has_shape(suffix) {
            return Err(ParseQuantityError::Format);
        }
        if fraction.contains('.') {
            return Err(ParseQuantityError::Number);
        }
        let (whole, fraction) = (whole.as_bytes(), fraction.as_bytes());

        let (magnitude, format) = if let Some((_, bits)) = BINARY_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
            let exact = Digits::new(whole, fraction, 0).times(NANOS << bits);
            (exact.unwrap_or(LARGEST_BINARY).min(LARGEST_BINARY), Format::BinarySi)
        } else {
            let (exponent, format) = decimal_suffix(suffix).ok_or(ParseQuantityError::Suffix)?;
            let exact = Digits::new(whole, fraction, exponent).times(NANOS);
            (exact.unwrap_or(LARGEST).min(LARGEST), format)
        };
        Ok(Self { nanos: if negative { -magnitude } else { magnitude }, format })
    }
}

fn suffix_has_shape(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let digits = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn decimal_suffix(suffix: &str) -> Option<(i64, Format)> {
    if let Some((_, exponent)) = DECIMAL_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Some((*exponent, Format::DecimalSi));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    exponent.parse().ok().map(|exponent| (exponent, Format::DecimalExponent))
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix of the family that loses nothing. Binary quantities below
    /// 1Ki or with a fraction are printed in decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi && self.is_integer() && self.nanos.abs() >= 1024 * NANOS {
            let (mut number, mut suffix) = (self.nanos / NANOS, "");
            for (name, _) in BINARY_SUFFIXES {
                if number % 1024 != 0 {
                    break;
                }
                number /= 1024;
                suffix = name;
            }
            return write!(f, "{number}{suffix}");
        }
        let (mut number, mut thousands) = (self.nanos, 0);
        let exponential = self.format == Format::DecimalExponent;
        while number % 1000 == 0 && (exponential || thousands + 1 < DECIMAL_SUFFIXES.len()) {
            number /= 1000;
            thousands += 1;
        }
        let exponent = i64::try_from(thousands).unwrap_or(0) * 3 - 9;
        match DECIMAL_SUFFIXES.get(thousands) {
            _ if exponential && exponent != 0 => write!(f, "{number}e{exponent}"),
            Some((suffix, _)) => write!(f, "{number}{suffix}"),
            None => write!(f, "{number}"),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combined(other, self.nanos.saturating_add(other.nanos))
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.combined(other, self.nanos.saturating_sub(other.nanos))
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl TryFrom<&Value> for Quantity {
    type Error = ParseQuantityError;

    /// A JSON string or number.
    fn try_from(value: &Value) -> Result<Self, ParseQuantityError> {
        match value {
            Value::String(text) => text.parse(),
            Value::Number(number) => number.to_string().parse(),
            _ => Err(ParseQuantityError::Format),
        }
    }
}

impl From<Quantity> for Value {
    fn from(quantity: Quantity) -> Self {
        Value::String(quantity.to_string())
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn canonical_form_keeps_the_family() {
        for (text, canonical) in [
            ("0", "0"),
            ("0Ki", "0"),
            ("-0.0e5", "0"),
            ("1.5", "1500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("2048", "2048"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("1.1Ki", "1126400m"),
            ("0.1Ki", "102400m"),
            ("-1.5Gi", "-1536Mi"),
            ("100000k", "100M"),
            ("1e3", "1e3"),
            ("1000e0", "1e3"),
            ("12E6", "12e6"),
            ("1E", "1E"),
            ("1500e-3", "1500e-3"),
            ("+.5", "500m"),
            ("1.", "1"),
            ("001.50", "1500m"),
            ("5m", "5m"),
            ("0.1m", "100u"),
            ("0.001n", "1n"),
            ("-0.001n", "-1n"),
            ("1.0000000001", "1000000001n"),
            ("1000E", "1000E"),
            ("100Ti", "100Ti"),
        ] {
            assert_eq!(parse(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn extremes_are_capped_and_never_lost() {
        assert_eq!(parse("8Ei"), Quantity::from_units(i64::MAX, Format::BinarySi));
        assert_eq!(parse("-99999999999999999999Ei").to_string(), "-9223372036854775807");
        assert_eq!(parse("7Ei").to_string(), "7Ei");
        assert_eq!(parse("1e999999999999999999").nanos(), LARGEST);
        assert_eq!(parse("1e-999999999999999999").to_string(), "1e-9");
        assert_eq!(parse("0e999999999999999999").nanos(), 0);
        assert_eq!(parse(&"9".repeat(100_000)).nanos(), LARGEST);
        assert_eq!(parse(&format!("0.{}1", "0".repeat(100_000))).nanos(), 1);
        assert_eq!((parse("1e29") + parse("1e29")).nanos(), LARGEST);
        assert_eq!((parse("-1e29") - parse("1e29")).nanos(), -LARGEST);
        assert_eq!(parse("1e29").to_string(), "100e27");
        assert_eq!(parse("0.12345678901234567890123456789Ei").value(), 142_335_986_942_043_634);
    }

    #[test]
    fn malformed_texts_say_which_part() {
        use ParseQuantityError::{Format, Number, Suffix};
        for (text, error) in [
            ("", Format),
            ("+", Format),
            (".", Format),
            ("Ki", Format),
            (" 1", Format),
            ("1 ", Format),
            ("ä", Format),
            ("1ä", Format),
            ("--1", Format),
            ("1+1.0M", Format),
            ("1.1.1", Number),
            ("1i", Suffix),
            ("1K", Suffix),
            ("0.1mi", Suffix),
            ("1e", Suffix),
            ("1e+", Suffix),
            ("3.01e-", Suffix),
            ("1Ki5", Suffix),
            ("1e99999999999999999999", Suffix),
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn sums_and_roundings() {
        assert_eq!((parse("1") + parse("500m")).to_string(), "1500m");
        assert_eq!((parse("1Gi") - parse("512M")).to_string(), "548576Ki");
        assert_eq!((Quantity::ZERO + parse("1Gi")).to_string(), "1Gi");
        assert_eq!((parse("1Gi") + parse("1G")).format(), Format::BinarySi);
        assert_eq!(parse("1.1").value(), 2);
        assert_eq!(parse("-1.1").value(), -2);
        assert_eq!(parse("1n").milli(), 1);
        assert_eq!(parse("250m").milli(), 250);
        assert_eq!(parse("100E").value(), i64::MAX);
        assert_eq!(parse("1Ki"), parse("1024"));
        assert!(parse("1Mi") > parse("1M"));
        assert!(parse("3").is_integer() && !parse("3m").is_integer() && parse("-1").is_negative());
    }

    #[test]
    fn json_is_text_or_number() {
        for (json, canonical) in [("\"1.5Gi\"", "1536Mi"), ("2", "2"), ("0.5", "500m"), ("-3", "-3")] {
            assert_eq!(serde_json::from_str::<Quantity>(json).unwrap().to_string(), canonical);
        }
        for bad in ["null", "true", "[]", "\"x\""] {
            assert!(serde_json::from_str::<Quantity>(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&parse("1000m")).unwrap(), "\"1\"");
    }

    const SUFFIXES: [&str; 18] =
        ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "e3", "E-6", "e0"];

    fn text() -> impl Strategy<Value = String> {
        (prop::sample::select(&["", "-", "+"][..]), 0_u32..1000, "[0-9]{0,8}", prop::sample::select(&SUFFIXES[..]))
            .prop_map(|(sign, whole, fraction, suffix)| format!("{sign}{whole}.{fraction}{suffix}"))
    }

    /// The exact number as a multiple of 10⁻¹⁷.
    fn exact(text: &str) -> i128 {
        let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let suffix = &text[end..];
        let unit = match BINARY_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
            Some((_, bits)) => NANOS << bits,
            None => 10_i128.pow(u32::try_from(decimal_suffix(suffix).unwrap().0 + 9).unwrap()),
        };
        let (whole, fraction) = text[..end].trim_start_matches(['-', '+']).split_once('.').unwrap();
        let magnitude = format!("{whole}{fraction:0<8}").parse::<i128>().unwrap() * unit;
        if text.starts_with('-') { -magnitude } else { magnitude }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn canonical_form_round_trips(text in text()) {
            let quantity = parse(&text);
            let canonical = quantity.to_string();
            prop_assert_eq!(parse(&canonical), quantity);
            prop_assert_eq!(parse(&canonical).to_string(), canonical);
        }

        #[test]
        fn nanos_are_the_exact_number_rounded_away_from_zero(text in text()) {
            let exact = exact(&text);
            let rest = if exact % 100_000_000 == 0 { 0 } else { exact.signum() };
            prop_assert_eq!(parse(&text).nanos(), exact / 100_000_000 + rest);
        }

        #[test]
        fn order_is_the_order_of_the_exact_numbers(a in text(), b in text()) {
            let (x, y) = (exact(&a), exact(&b));
            let order = parse(&a).cmp(&parse(&b));
            prop_assert!(order == x.cmp(&y) || order.is_eq() && (x - y).abs() < 100_000_000);
        }

        #[test]
        fn subtraction_undoes_addition(a in text(), b in text()) {
            prop_assert_eq!(parse(&a) + parse(&b) - parse(&b), parse(&a));
        }
    }
}
